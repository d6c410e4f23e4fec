"use strict";
(() => {
  const tip = document.getElementById("tip"), said = document.getElementById("said");
  const show = (mark) => {
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    const at = mark.getBoundingClientRect();
    const x = Math.min(Math.max(at.left + at.width / 2 - tip.offsetWidth / 2, 4), innerWidth - tip.offsetWidth - 4);
    const y = at.top - tip.offsetHeight - 8;
    tip.style.left = x + "px";
    tip.style.top = (y < 4 ? at.bottom + 8 : y) + "px";
  };
  const hide = () => { tip.hidden = true; };
  for (const chart of document.querySelectorAll(".chart")) {
    const marks = [...chart.querySelectorAll("svg [aria-label]")];
    if (!marks.length) continue;
    let at = -1;
    const leave = () => { if (at >= 0) marks[at].classList.remove("at"); hide(); };
    chart.addEventListener("mouseover", (event) => {
      const mark = event.target.closest("svg [aria-label]");
      if (mark) show(mark); else hide();
    });
    chart.addEventListener("mouseleave", hide);
    chart.addEventListener("blur", leave);
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") leave();
      if (!step) return;
      event.preventDefault();
      leave();
      at = Math.min(Math.max(at + step, 0), marks.length - 1);
      marks[at].classList.add("at");
      marks[at].scrollIntoView({ block: "nearest", inline: "nearest" });
      show(marks[at]);
      said.textContent = tip.textContent;
    });
  }
  addEventListener("scroll", hide, { passive: true });

  const table = document.getElementById("user-table");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const was = head.getAttribute("aria-sort");
    // Numbers begin with the largest, names with the first.
    const first = column ? "descending" : "ascending";
    const order = was === "none" ? first : was === "ascending" ? "descending" : "ascending";
    heads.forEach((one) => one.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const value = (row) => {
      const cell = row.cells[column];
      return column ? (cell.dataset.value === "" ? NaN : Number(cell.dataset.value)) : cell.textContent;
    };
    rows.sort((a, b) => {
      const x = value(a), y = value(b);
      if (!column) return sign * x.localeCompare(y, undefined, { numeric: true });
      // What is not known comes last, in either order.
      return Number.isNaN(x) - Number.isNaN(y) || (Number.isNaN(x) ? 0 : sign * (x - y));
    });
    body.append(...rows);
  }));
  const search = document.getElementById("search"), found = document.getElementById("found");
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = row.cells[0].textContent.toLowerCase().includes(wanted);
      row.hidden = !fits;
      shown += fits;
    }
    found.textContent = wanted ? `${shown} of ${rows.length}` : "";
  });
})();
