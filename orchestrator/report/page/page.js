"use strict";
// Tables that can be sorted and searched, and a choice of pairs. Without it all is shown.
const chosen = {};  // table or list -> what its reader asked for, kept when a live page changes
const REST = 6;  // rows that need no search

function value(cell) {
  const text = cell.textContent.trim();
  if (/^(\d+:)+\d\d$/.test(text)) return text.split(":").reduce((all, part) => 60 * all + +part, 0);
  const number = /^[[<]?([+-]?\d+(\.\d+)?(e[+-]?\d+)?)(?=$|[\s%,/])/.exec(text);
  return text === "" ? null : number ? Number(number[1]) : text;
}

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return typeof a === "number" && typeof b === "number" ? a - b : `${a}`.localeCompare(`${b}`);
}

function sort(table, asked) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, n) => {
    if (n === asked.column && asked.turn) {
      head.setAttribute("aria-sort", asked.turn > 0 ? "ascending" : "descending");
    } else head.removeAttribute("aria-sort");
  });
  const rows = [...table.tBodies[0].rows].sort((one, two) => {
    const [a, b] = [one, two].map((row) => asked.turn ? value(row.cells[asked.column]) : null);
    const missing = a === null || b === null;  // last, whichever way
    return (missing ? 1 : asked.turn) * compare(a, b) || one.dataset.place - two.dataset.place;
  });
  table.tBodies[0].append(...rows);
}

function sortable(table, key, asked) {
  [...table.tBodies[0].rows].forEach((row, n) => { row.dataset.place = n; });
  [...table.tHead.rows[0].cells].forEach((head, n) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.id = `${key}-sort-${n}`;  // by which a live page gives the focus back
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      asked.turn = asked.column === n ? { 0: 1, 1: -1, "-1": 0 }[asked.turn] : 1;
      asked.column = n;
      sort(table, asked);
    });
  });
  if (asked.turn) sort(table, asked);
}

function searchable(box, items, what, key, asked) {
  const label = document.createElement("label"), found = document.createElement("output");
  const input = Object.assign(document.createElement("input"), { type: "search", id: `${key}-search` });
  label.className = "search";
  label.append(`Search ${what} `, input, " ", found);
  box.before(label);
  const look = () => {
    asked.words = input.value;
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const item of items) {
      const text = item.textContent.toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
      left += !item.hidden;
    }
    found.value = words.length ? `${left} of ${items.length}` : "";
  };
  input.addEventListener("input", look);
  if ((input.value = asked.words ?? "")) look();
}

function stick(table) {
  // each column that names a row stands beside the one before it
  const cells = [...table.tHead.rows[0].cells].filter((cell) => cell.classList.contains("first"));
  const widths = cells.map((cell) => cell.getBoundingClientRect().width);
  const fits = widths.reduce((a, b) => a + b, 0) < table.parentElement.clientWidth / 2;
  for (const row of table.rows) {
    let left = 0;
    [...row.cells].slice(0, cells.length).forEach((cell, n) => {
      cell.style.left = n === 0 || fits ? `${left}px` : "";
      cell.classList.toggle("stuck", n === 0 || fits);
      left += widths[n];
    });
  }
}

function enhance(root) {
  for (const box of root.querySelectorAll(".scroll")) {
    const table = box.querySelector("table");
    if (!table) continue;
    const key = box.getAttribute("aria-labelledby");
    const asked = chosen[key] ??= { column: -1, turn: 0 };
    const rows = [...table.tBodies[0].rows];
    if (rows.length > 2) sortable(table, key, asked);
    if (rows.length > REST) searchable(box, rows, "rows", key, asked);
    stick(table);
  }
  for (const list of root.querySelectorAll(".answers")) {
    searchable(list, [...list.children], "prompts and answers", "answers", chosen.answers ??= {});
  }
}

function choice() {
  const bar = document.querySelector("nav.bar");
  const parts = [...document.querySelectorAll("[data-split]")];
  const splits = [...new Set(parts.map((part) => part.dataset.split))];
  if (!bar || splits.length < 2) return;
  const group = document.createElement("div");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Pairs");
  const choose = (split) => {
    for (const part of parts) part.hidden = part.dataset.split !== split;
    for (const one of group.children) one.setAttribute("aria-pressed", one.value === split);
  };
  for (const split of splits) {
    const button = Object.assign(document.createElement("button"), { type: "button", value: split });
    button.textContent = `${split} pairs`;
    button.addEventListener("click", () => {
      choose(split);
      document.querySelectorAll(".scroll > table").forEach(stick);
    });
    group.append(button);
  }
  bar.append(group);
  choose(splits[0]);
}

choice();
enhance(document);
addEventListener("resize", () => document.querySelectorAll(".scroll > table").forEach(stick));
document.addEventListener("toggle", (event) => {
  event.target.querySelectorAll(".scroll > table").forEach(stick);
}, true);
