"use strict";
// Fetches the page anew while it is looked at, and replaces the parts that have changed.
const EVERY_MS = 2000;

const shown = {};  // part -> its HTML as the server sent it, before `enhance` changed it
for (const part of document.querySelectorAll("[data-part]")) shown[part.id] = part.innerHTML;

function replace(here, fresh) {
  const rolled = [...here.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  here.replaceChildren(...fresh.childNodes);
  enhance(here);
  here.querySelectorAll(".scroll").forEach((box, n) => { box.scrollLeft = rolled[n] ?? 0; });
}

function ids(page) {
  return [...page.querySelectorAll("[data-part]")].map((part) => part.id).join();
}

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const focused = document.activeElement.id;
      const parts = [...fresh.querySelectorAll("[data-part]")];
      const changed = parts.filter((part) => shown[part.id] !== part.innerHTML);
      for (const part of parts) shown[part.id] = part.innerHTML;
      if (ids(fresh) !== ids(document)) {
        replace(document.querySelector("main"), fresh.querySelector("main"));
      }
      for (const part of changed) {
        const here = document.getElementById(part.id);
        if (here && document.contains(here) && fresh.contains(part)) replace(here, part);
      }
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
      document.title = fresh.title;
      document.getElementById("lost").hidden = true;
    } catch {
      document.getElementById("lost").hidden = false;
    }
  }
  setTimeout(look, EVERY_MS);
}
setTimeout(look, EVERY_MS);
