"use strict";
// Fetches the page anew while it is looked at, and replaces the parts that have changed.
const EVERY_MS = 2000;

function replace(here, fresh) {
  const rolled = [...here.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  here.replaceChildren(...fresh.childNodes);
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
      if (ids(fresh) !== ids(document)) {
        replace(document.querySelector("main"), fresh.querySelector("main"));
      }
      for (const part of fresh.querySelectorAll("[data-part]")) {
        const here = document.getElementById(part.id);
        if (here.innerHTML !== part.innerHTML) replace(here, part);
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
