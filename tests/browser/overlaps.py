"""A geometric check of a page: no text, control or picture lies on another one, and none leaves the page sideways."""

from __future__ import annotations

import time

from playwright.sync_api import Page

UNDER = "#photo, .board-frame, .figure-box, .picture, .slot, .strip li, .candidate, .full-room"
"""What others may lie on: pictures with marks, numbers and handles on them. Their own parts may overlap, too."""

ABOVE = (".over, .zoom, .hint", "#alerts, #drop, dialog")
"""What is meant to lie above the page, in two levels. Parts of a level are compared with each other only."""

FIND = """([under, above]) => {
    const visible = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const unseen = (element) => element.closest(".unseen, .symbols") !== null;
    const name = (element) => {
        const text = element.getAttribute("aria-label") || element.textContent.trim().replace(/\\s+/g, " ");
        return `${element.tagName.toLowerCase()}${element.id ? "#" + element.id : ""} "${text.slice(0, 30)}"`;
    };
    // The part of a rectangle that its scrolling ancestors, and a bar that sticks to their end, leave visible.
    const clipped = (rect, element, from) => {
        let { left, top, right, bottom } = rect;
        for (let up = from; up && up !== document.body; up = up.parentElement) {
            const { overflowX, overflowY } = getComputedStyle(up);
            if (overflowX === "visible" && overflowY === "visible") continue;
            const box = up.getBoundingClientRect();
            left = Math.max(left, box.left);
            top = Math.max(top, box.top);
            right = Math.min(right, box.right);
            bottom = Math.min(bottom, box.bottom);
        }
        const bar = element.closest(".panel")?.querySelector(".side-foot");
        if (bar && !bar.contains(element) && getComputedStyle(bar).position === "sticky") {
            const edges = bar.getBoundingClientRect();
            if (top < edges.bottom && bar.closest(".side").contains(element)) bottom = Math.min(bottom, edges.top);
        }
        return { left, top, right, bottom };
    };
    const boxes = [];
    const add = (element, rect, from) => {
        const box = clipped(rect, element, from);
        const sideways = rect.right > innerWidth + 1 || rect.left < -1;
        if (box.bottom - box.top < 1 || (box.right - box.left < 1 && !sideways)) return;
        boxes.push({ element, ...box, sideways });
    };
    const controls = "button, input, select, textarea, img, canvas, summary, [role=img], [role=application], progress";
    for (const element of document.body.querySelectorAll(controls)) {
        if (visible(element) && !unseen(element)) add(element, element.getBoundingClientRect(), element.parentElement);
    }
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !visible(element) || unseen(element)) continue;
        if (element.closest("option, script, style, noscript, [aria-hidden=true] symbol")) continue;
        const range = document.createRange();
        range.selectNodeContents(texts.currentNode);
        for (const rect of range.getClientRects()) add(element, rect, element);
    }
    const problems = new Set();
    for (const box of boxes) {
        if (!box.sideways || box.element.closest(`${under}, .strip, .code`)) continue;
        problems.add(`${name(box.element)} leaves the page sideways`);
    }
    const fieldOf = (element) => element.closest("label, .prefixed");
    const level = (element) => above.findLastIndex((selector) => element.closest(selector));
    for (let a = 0; a < boxes.length; a += 1) {
        for (let b = a + 1; b < boxes.length; b += 1) {
            const [one, two] = [boxes[a], boxes[b]];
            if (one.element.contains(two.element) || two.element.contains(one.element)) continue;
            if (level(one.element) !== level(two.element)) continue;
            const picture = one.element.closest(under);
            if (level(one.element) < 0 && picture && picture === two.element.closest(under)) continue; // parts of one
            const field = fieldOf(one.element);
            if (field && field === fieldOf(two.element)) continue; // a unit in its field
            const wide = Math.min(one.right, two.right) - Math.max(one.left, two.left);
            const high = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
            if (wide > 1.5 && high > 1.5) problems.add(`${name(one.element)} lies on ${name(two.element)}`);
        }
    }
    return [...problems];
}"""

SCROLL = """([step, share]) => {
    const panel = document.getElementById(`panel-${step}`);
    let moved = false;
    for (const element of [panel, ...panel.querySelectorAll("*")]) {
        if (element.scrollHeight <= element.clientHeight + 1) continue;
        if (!/auto|scroll/.test(getComputedStyle(element).overflowY)) continue;
        element.scrollTop = share * (element.scrollHeight - element.clientHeight);
        moved = true;
    }
    return moved;
}"""


def overlapping(page: Page, wait_s: float = 20.0) -> list[str]:
    """What lies on something else, or leaves the page sideways, one sentence each.

    What passes within `wait_s` seconds does not count: a page on a busy machine may still be coming together.
    """
    give_up_at = time.monotonic() + wait_s
    while True:
        found: list[str] = page.evaluate(FIND, [UNDER, ABOVE])
        if not found or time.monotonic() > give_up_at:
            return found
        page.wait_for_timeout(100)


def overlapping_anywhere(page: Page, step: str) -> list[str]:
    """`overlapping` at five places of everything that scrolls in this step. It scrolls back to the beginning."""
    found: list[str] = []
    for share in (0.25, 0.5, 0.75, 1, 0):
        if not page.evaluate(SCROLL, [step, share]) and share:
            continue
        found += [problem for problem in overlapping(page) if problem not in found]
    return found
