"use strict";
{
  const words = new Intl.Collator("en", { numeric: true });

  // What a row is sorted by: undefined where its cell holds nothing to compare.
  const key = (row, column, numeric) => {
    const cell = row.cells[column];
    if (numeric) return "value" in cell.dataset ? Number(cell.dataset.value) : undefined;
    return cell.textContent.trim() || undefined;
  };

  const sort = (header) => {
    const body = header.closest("table").tBodies[0];
    const numeric = header.classList.contains("number");
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = Array.from(body.rows, (row) => [key(row, header.cellIndex, numeric), row]);
    rows.sort(([a], [b]) => {
      // What is missing comes last in both directions.
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      const order = numeric ? (a > b) - (a < b) : words.compare(a, b);
      return descending ? -order : order;
    });
    const sorted = document.createDocumentFragment();
    for (const [, row] of rows) sorted.append(row);
    body.append(sorted);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("thead button");
    if (button) sort(button.closest("th"));
  });
}
