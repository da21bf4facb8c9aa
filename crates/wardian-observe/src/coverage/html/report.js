"use strict";
// Searches and filters files and functions, and sorts functions by the column whose head is clicked.
const search = document.getElementById("search");
const missed = document.getElementById("missed");
const files = [...document.querySelectorAll("details.file")];
const libraries = document.querySelector("details.libraries");
const table = document.querySelector("table.functions");
const rows = table ? [...table.tBodies[0].rows] : [];

function isComplete(element) {
  const meter = element.querySelector("meter");
  return meter !== null && meter.value >= meter.max;
}

function show() {
  const wanted = search.value.toLowerCase();
  const fits = (element, text) =>
    text.toLowerCase().includes(wanted) && !(missed.checked && isComplete(element));
  for (const file of files) {
    file.hidden = !fits(file, file.querySelector("summary code").textContent);
  }
  for (const row of rows) {
    row.hidden = !fits(row, row.cells[3].textContent);
  }
  if (libraries) {
    const found = [...libraries.querySelectorAll("details.file")].some((file) => !file.hidden);
    libraries.hidden = !found;
    if (wanted) libraries.open = found;
  }
}

function key(row, column) {
  const cell = row.cells[column];
  const meter = cell.querySelector("meter");
  if (meter) return meter.value / meter.max;
  return column === 0 ? Number(cell.textContent) : cell.textContent;
}

function sort(head, column) {
  const down = head.getAttribute("aria-sort") !== "descending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const keyed = rows.map((row) => [key(row, column), row]);
  keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1));
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

search.addEventListener("input", show);
missed.addEventListener("change", show);
if (table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.tabIndex = 0;
    head.addEventListener("click", () => sort(head, column));
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter") sort(head, column);
    });
  });
}
