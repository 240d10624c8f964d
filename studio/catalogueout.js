// What comes out of a catalogue: the archive, the sheet as it came out, channels' feeds, and the review.

import * as calls from "./cataloguecalls.js";
import { $, h, say } from "./widgets.js";

const FEEDS = { "google-merchant": "Google Merchant", meta: "Meta", shopify: "Shopify", amazon: "Amazon" };

const SOON = {
  draft: "Nothing yet. Once it has started, the files, the sheet and channels' feeds are here.",
  rows: "The files and channels' feeds are here when the first row is done.",
};

/** The links and the form of feeds, as elements. `stage` is draft, rows (nothing is done yet) or files. */
export function outputs({ id, name }, stage) {
  const title = h("h2", { id: "out-title" }, "What comes out");
  const at = `/v1/catalogues/${id}`;
  const link = (href, words, quiet) => h("li", {}, h("a", { href, download: "" }, words), h("span", { className: "quiet" }, quiet));
  const kind = h("select", { id: "feed-kind" }, ...Object.entries(FEEDS).map(([value, words]) => h("option", { value }, words)));
  const folder = h("input", { id: "feed-at", type: "url", required: true, placeholder: "https://…/spring/", pattern: "https://.+" });
  const fetch = async (event) => {
    event.preventDefault();
    say($("feed-problem"), "");
    try {
      const feed = await calls.file(`${at}/feeds/${kind.value}?published_at=${encodeURIComponent(folder.value)}`);
      const href = URL.createObjectURL(feed);
      h("a", { href, download: `${name}-${kind.value}.${kind.value === "google-merchant" || kind.value === "amazon" ? "tsv" : "csv"}` }).click();
      setTimeout(() => URL.revokeObjectURL(href), 60_000);
    } catch (problem) {
      if (!problem.code) throw problem;
      say($("feed-problem"), problem.detail);
    }
  };
  const sheet = link(`${at}/manifest.csv`, "The sheet as it came out", "what became of each row");
  if (stage !== "files") return [title, h("p", { className: "quiet" }, SOON[stage]), ...(stage === "rows" ? [h("ul", { className: "links" }, sheet)] : [])];
  return [
    title,
    h("ul", { className: "links" }, link(`${at}/archive.zip`, "All files, as a ZIP", "those made so far, by their names"), sheet, h("li", {}, h("a", { href: `/review?catalogue_id=${id}` }, "Review the pictures"), h("span", { className: "quiet" }, "approve them, or ask for changes"))),
    h(
      "details",
      { className: "keys" },
      h("summary", {}, "A channel's feed"),
      h("form", { className: "field feed", onsubmit: fetch }, h("label", { className: "prefixed" }, h("span", {}, "Channel"), kind), h("label", { className: "prefixed" }, h("span", {}, "Where the files are public"), folder), h("button", { type: "submit" }, "Get the feed"), h("p", { id: "feed-problem", className: "problem", role: "alert" })),
    ),
  ];
}
