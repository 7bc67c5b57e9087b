"use strict";

const rowsOf = (table) => [...table.tBodies[0].rows];

function sortBy(table, header) {
  const last = header.getAttribute("aria-sort");
  const descending = last === null ? header.dataset.first === "descending" : last === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const sign = descending ? -1 : 1;
  const keyOf = (row) => row.cells[header.cellIndex].dataset.value ?? "";
  const compare = (first, second) => {
    const numbers = [Number(keyOf(first)), Number(keyOf(second))];
    const areNumbers = keyOf(first) !== "" && keyOf(second) !== "" && !numbers.some(Number.isNaN);
    return sign * (areNumbers ? numbers[0] - numbers[1] : keyOf(first).localeCompare(keyOf(second)));
  };
  table.tBodies[0].append(...rowsOf(table).sort(compare));
}

function applyFilter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("section")) {
    const title = section.querySelector("h2").textContent;
    for (const row of rowsOf(section.querySelector("table"))) {
      const content = `${title} ${row.textContent}`.toLowerCase();
      row.hidden = !words.every((word) => content.includes(word));
    }
  }
}

const OPPOSITE = { faster: "slower", slower: "faster" };

// A pair is stored once. The other way round, the ratio and its interval are turned over.
function judgementOf(pairs, first, second) {
  if (first < second) return pairs[`${first}-${second}`];
  const judgement = pairs[`${second}-${first}`];
  const turned = (judgement.ratios ?? []).map((ratio) => ({
    ...ratio,
    value: 1 / ratio.value,
    low: ratio.high === null ? null : 1 / ratio.high,
    high: ratio.low === null ? null : 1 / ratio.low,
    word: OPPOSITE[ratio.word] ?? ratio.word,
  }));
  return { ...judgement, ratios: turned };
}

function linesOf(judgement) {
  if (judgement.reasons.length) return [`not comparable, because ${judgement.reasons.join("; ")}`];
  return judgement.ratios.map((ratio) => {
    const interval = ratio.low === null ? "no interval" : `${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}`;
    return `${ratio.name}: ${ratio.word}, ${ratio.value.toFixed(3)} times (${interval})`;
  });
}

function element(name, text, children = []) {
  const node = document.createElement(name);
  node.textContent = text;
  node.append(...children);
  return node;
}

function showComparison(section, chosen) {
  const pairs = JSON.parse(section.querySelector("script").textContent);
  const target = section.querySelector(".comparison");
  const nameOf = (index) => section.querySelector(`tr[data-index="${index}"]`).dataset.name;
  target.replaceChildren();
  if (chosen.length < 2) return;
  const [first, ...others] = chosen;
  for (const other of others) {
    const lines = linesOf(judgementOf(pairs, first, other)).map((line) => element("li", line));
    target.append(element("p", `${nameOf(other)} over ${nameOf(first)}:`), element("ul", "", lines));
  }
}

for (const section of document.querySelectorAll("section")) {
  const table = section.querySelector("table");
  for (const button of table.querySelectorAll("th button")) {
    button.addEventListener("click", () => sortBy(table, button.closest("th")));
  }
  let chosen = [];
  table.addEventListener("change", (event) => {
    const index = Number(event.target.closest("tr").dataset.index);
    chosen = event.target.checked ? [...chosen, index] : chosen.filter((other) => other !== index);
    showComparison(section, chosen);
  });
}
document.querySelector("label.filter input").addEventListener("input", (event) => applyFilter(event.target.value));
