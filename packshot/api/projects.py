"""`/v1/projects`: names under which a tenant keeps photos and shots together."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from packshot.api.accept import checked_name, json_body
from packshot.api.auth import Caller
from packshot.api.limits import shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    LOCATION,
    answer_json,
    body_json,
    empty_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.queries import PAGE, Cursor, Limit
from packshot.api.services import Wired, in_thread
from packshot.contract import examples
from packshot.contract.projects import ProjectAnswer, ProjectPage, ProjectRequest
from packshot.errors import BadInput, Conflict, NotFound
from packshot.store.records import ProjectRecord

router = APIRouter(prefix="/v1/projects", tags=["projects"], responses=keyed_problems_json())


def project_answer(project: ProjectRecord) -> ProjectAnswer:
    """A project."""
    url = f"/v1/projects/{project.id}"
    return ProjectAnswer(id=project.id, name=project.name, url=url, created_at=project.created_at)


@router.post(
    "",
    status_code=201,
    operation_id="create_project",
    summary="Create a project",
    responses=answer_json(examples.PROJECT, "The project.", status=201, headers=LOCATION)
    | problems_json(*BODY_PROBLEMS, Conflict),
    openapi_extra=body_json(examples.PROJECT_REQUEST),
)
async def create_project(request: Request, response: Response, services: Wired, tenant: Caller) -> ProjectAnswer:
    """409 `name_taken` when the tenant has a project of this name."""
    name = checked_name((await json_body(request, ProjectRequest)).name)
    project = await shield_to_completion(in_thread(services.store.projects.add, tenant.id, name))
    answer = project_answer(project)
    response.headers["location"] = answer.url
    return answer


@router.get(
    "",
    operation_id="list_projects",
    summary="List the projects, newest first",
    responses=answer_json(examples.PROJECTS, "A page of projects.") | problems_json(BadInput),
)
async def list_projects(
    services: Wired,
    tenant: Caller,
    limit: Limit = PAGE,
    cursor: Cursor = "",
) -> ProjectPage:
    """`next_cursor` is null on the last page."""
    projects, next_cursor = await in_thread(services.store.projects.page, tenant.id, cursor=cursor or None, limit=limit)
    return ProjectPage(projects=tuple(project_answer(project) for project in projects), next_cursor=next_cursor)


@router.get(
    "/{project_id}",
    operation_id="get_project",
    summary="Get a project",
    responses=answer_json(examples.PROJECT, "The project.") | problems_json(NotFound),
)
async def get_project(project_id: str, services: Wired, tenant: Caller) -> ProjectAnswer:
    """Its photos and shots are the lists of photos and shots with its `project_id`."""
    return project_answer(await in_thread(services.store.projects.get, tenant.id, project_id))


@router.patch(
    "/{project_id}",
    operation_id="rename_project",
    summary="Rename a project",
    responses=answer_json(examples.PROJECT, "The project.") | problems_json(*BODY_PROBLEMS, NotFound, Conflict),
    openapi_extra=body_json(examples.PROJECT_REQUEST),
)
async def rename_project(project_id: str, request: Request, services: Wired, tenant: Caller) -> ProjectAnswer:
    """409 `name_taken` when another project of the tenant has this name."""
    name = checked_name((await json_body(request, ProjectRequest)).name)
    call = in_thread(services.store.projects.rename, tenant.id, project_id, name)
    return project_answer(await shield_to_completion(call))


@router.delete(
    "/{project_id}",
    status_code=204,
    operation_id="delete_project",
    summary="Delete a project",
    responses=empty_json("The project was deleted.") | problems_json(NotFound),
)
async def delete_project(project_id: str, services: Wired, tenant: Caller) -> None:
    """Its photos and shots stay, and belong to no project."""
    await shield_to_completion(in_thread(services.store.projects.delete, tenant.id, project_id))
