// Shows /openapi.json with Swagger UI. Where the server needs a key, it is exchanged for a session cookie first.
const form = document.querySelector("#sign-in");
const problem = document.querySelector("#problem");

async function show() {
  const answer = await fetch("/openapi.json");
  form.hidden = answer.status !== 401;
  if (answer.status === 401) return;
  if (!answer.ok) {
    problem.textContent = `The server answered ${answer.status}.`;
    form.hidden = false;
    return;
  }
  SwaggerUIBundle({
    spec: await answer.json(),
    dom_id: "#reference",
    deepLinking: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null, // it would send the document to swagger.io
  });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = document.querySelector("#key").value;
  const headers = { "content-type": "application/json" };
  const answer = await fetch("/v1/session", { method: "POST", headers, body: JSON.stringify({ key }) });
  problem.textContent = answer.ok ? "" : (await answer.json()).detail;
  if (answer.ok) await show();
});

show();
