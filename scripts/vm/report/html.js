"use strict";
// Filters, other axes, keys and the panel of the HTML report. The document is whole without it; here
// elements are made one by one or copied, and no text ever becomes HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const { outcomes, matrices, cells, tests } = data;
  const DENSE_FROM = 13;
  const [CELL, RANK, NAME, MS, WORDS] = [0, 1, 2, 3, 4];
  const FLAKY = outcomes.findIndex((outcome) => outcome[0] === "flaky") + 1;

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== "") element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  function duration(ms) {
    if (ms < 0) return "";
    if (ms < 1000) return ms + " ms";
    if (ms < 9950) return Math.floor((ms + 50) / 1000) + "." + Math.floor(((ms + 50) % 1000) / 100) + " s";
    const whole = Math.floor((ms + 500) / 1000);
    if (ms < 59500) return whole + " s";
    const two = (number) => String(number).padStart(2, "0");
    if (whole < 3600) return Math.floor(whole / 60) + " min " + two(whole % 60) + " s";
    return Math.floor(whole / 3600) + " h " + two(Math.floor((whole % 3600) / 60)) + " min";
  }

  const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

  // The tests, by number from 0; the document counts from 1.
  const axesOf = (test) => matrices[cells[test[CELL] - 1][0] - 1][0];
  const place = (test, axis) => {
    const at = cells[test[CELL] - 1][2];
    return axis < at.length ? at[axis] : test[NAME];
  };
  const testName = (test) => axesOf(test).at(-1)[1][test[NAME] - 1];
  const idOf = (test) => cells[test[CELL] - 1][1] + (testName(test) === "—" ? "" : ":" + testName(test));
  const shown = new Uint8Array(tests.length).fill(1);

  // ---- the grid; the same table as html_grid.lua makes

  function linesOf(entries, axes) {
    const lines = new Map();
    for (const entry of entries) {
      const values = axes.map((axis) => place(tests[entry], axis));
      const key = values.join();
      if (!lines.has(key)) lines.set(key, values);
    }
    const order = (a, b) => {
      for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
      return 0;
    };
    return [...lines.values()].sort(order);
  }

  function pivot(index) {
    const [axes, roles] = matrices[index];
    const entries = [];
    tests.forEach((test, i) => {
      if (shown[i] && cells[test[CELL] - 1][0] === index + 1) entries.push(i);
    });
    const pick = (role) => axes.map((_, i) => i).filter((i) => roles[i] === role);
    const grid = { axes, rows: pick("row"), columns: pick("column"), fields: new Map() };
    grid.rowLines = linesOf(entries, grid.rows);
    grid.columnLines = linesOf(entries, grid.columns);
    for (const i of entries) {
      const test = tests[i];
      const key = grid.rows.map((a) => place(test, a)).join() + "|" + grid.columns.map((a) => place(test, a)).join();
      let field = grid.fields.get(key);
      if (!field) grid.fields.set(key, (field = { tests: [], worst: -1, count: 0 }));
      field.tests.push(i);
      if (field.worst < 0 || test[RANK] < tests[field.worst][RANK]) [field.worst, field.count] = [i, 0];
      if (test[RANK] === tests[field.worst][RANK]) field.count++;
    }
    return grid;
  }

  const same = (a, b, level) => {
    for (let i = 0; i <= level; i++) if (a[i] !== b[i]) return false;
    return true;
  };

  function span(lines, i, level) {
    let last = i;
    while (last + 1 < lines.length && same(lines[last + 1], lines[i], level)) last++;
    return last - i + 1;
  }

  const heading = (scope, name, attributes) => make("th", { scope, ...attributes }, make("span", null, name));

  function gridHead(grid) {
    const head = make("thead");
    const width = Math.max(1, grid.rows.length);
    const name = (axis) => make("span", null, grid.axes[axis][0]);
    for (let level = 0; level < Math.max(1, grid.columns.length); level++) {
      const column = grid.columns[level];
      const leaf = level >= grid.columns.length - 1;
      const row = make("tr");
      if (!leaf) {
        row.append(make("td", { class: "axis column", colspan: width > 1 && width }, grid.axes[column][0]));
      }
      for (let i = 0; leaf && i < width; i++) {
        row.append(make("td", { class: "axis" + (i > 0 ? " l" + (i + 1) : "") },
          i < grid.rows.length ? name(grid.rows[i]) : null,
          i === width - 1 && column !== undefined ? name(column) : null));
      }
      for (let i = 0; i < grid.columnLines.length; ) {
        const wide = leaf ? 1 : span(grid.columnLines, i, level);
        row.append(heading(leaf ? "col" : "colgroup",
          column === undefined ? "all" : grid.axes[column][1][grid.columnLines[i][level] - 1],
          { colspan: wide > 1 && wide }));
        i += wide;
      }
      head.append(row);
    }
    return head;
  }

  function gridField(field, dense) {
    if (!field) return make("td");
    const test = tests[field.worst];
    const [name, glyph, label] = outcomes[test[RANK] - 1];
    const total = field.tests.length;
    let words = duration(test[MS]);
    if (total > 1) words = field.count === total ? String(total) : field.count + "/" + total;
    const link = make("a", { class: name, href: "#t" + (field.worst + 1),
      "aria-label": total > 1 ? label + ": " + field.count + " of " + total : label });
    if (dense) link.append(glyph);
    else link.append(make("b", null, glyph), words ? make("i", null, words) : "");
    return make("td", null, link);
  }

  function gridBody(grid, dense) {
    const body = make("tbody");
    grid.rowLines.forEach((line, i) => {
      const first = grid.rows.length > 1 && i > 0 && span(grid.rowLines, i - 1, 0) === 1;
      const row = make("tr", { class: first && "first" });
      if (grid.rows.length === 0) row.append(heading("row", "all"));
      grid.rows.forEach((axis, level) => {
        if (i > 0 && span(grid.rowLines, i - 1, level) > 1) return;
        const leaf = level === grid.rows.length - 1;
        const tall = leaf ? 1 : span(grid.rowLines, i, level);
        row.append(heading(leaf ? "row" : "rowgroup", grid.axes[axis][1][line[level] - 1],
          { class: level > 0 && "l" + (level + 1), rowspan: tall > 1 && tall }));
      });
      for (const column of grid.columnLines) {
        row.append(gridField(grid.fields.get(line.join() + "|" + column.join()), dense));
      }
      body.append(row);
    });
    return body;
  }

  const grids = [];

  function renderGrid(index) {
    const old = byId("m" + (index + 1));
    if (!old) return;
    const grid = pivot(index);
    const dense = grid.columnLines.length >= DENSE_FROM;
    const table = make("table", { class: "grid" + (dense ? " dense" : ""), id: "m" + (index + 1) });
    if (grid.rowLines.length > 0) table.append(gridHead(grid), gridBody(grid, dense));
    else table.append(make("caption", null, "No test here matches the filters."));
    old.replaceWith(table);
    adopt(index, grid, table);
  }

  // Keys and the sticky headings of a table, be it the document's or ours.
  function adopt(index, grid, table) {
    const rows = [...table.querySelectorAll("tbody tr")].map((row) =>
      [...row.children].filter((cell) => cell.tagName === "TD").map((cell) => cell.firstElementChild));
    grids[index] = { grid, table, rows };
    let first = null;
    for (const row of rows) for (const link of row) if (link) { link.tabIndex = -1; first = first || link; }
    if (first) first.tabIndex = 0;
    requestAnimationFrame(() => {
      const head = table.tHead;
      if (!head) return;
      table.style.setProperty("--head", head.offsetHeight + 4 + "px");
      let left = 0;
      [...head.rows[head.rows.length - 1].querySelectorAll(".axis")].forEach((cell, i) => {
        if (i > 0) table.style.setProperty("--l" + (i + 1), left + "px");
        left += cell.offsetWidth + 2;
      });
    });
  }

  function locate(link) {
    for (const { grid, table, rows } of grids.filter(Boolean)) {
      if (!table.contains(link)) continue;
      const row = link.closest("tr").sectionRowIndex;
      const column = rows[row].indexOf(link);
      const key = grid.rowLines[row].join() + "|" + grid.columnLines[column].join();
      return { rows, row, column, tests: grid.fields.get(key).tests };
    }
    return null;
  }

  function focusField(rows, link) {
    for (const row of rows) for (const other of row) if (other && other.tabIndex === 0) other.tabIndex = -1;
    link.tabIndex = 0;
    link.focus();
    link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  function gridKey(event) {
    const link = event.target.closest && event.target.closest(".grid td a");
    const at = link && locate(link);
    if (!at) return false;
    let target = null;
    if (STEPS[event.key]) {
      const [down, right] = STEPS[event.key];
      let [row, column] = [at.row + down, at.column + right];
      while (at.rows[row] && column >= 0 && column < at.rows[row].length && !target) {
        target = at.rows[row][column];
        row += down;
        column += right;
      }
    } else if (event.key === "Home" || event.key === "End") {
      const row = event.ctrlKey ? at.rows.at(event.key === "Home" ? 0 : -1) : at.rows[at.row];
      target = event.key === "Home" ? row.find(Boolean) : row.findLast(Boolean);
    } else if (event.key === " ") {
      openPanel(at.tests, link);
      return true;
    } else {
      return false;
    }
    if (target) focusField(at.rows, target);
    return true;
  }

  function axisControls(index) {
    const place = byId("a" + (index + 1));
    if (!place) return;
    const [axes, roles] = matrices[index];
    axes.forEach(([name], axis) => {
      const select = make("select", { "data-axis": axis });
      for (const [value, label] of [["row", "rows"], ["column", "columns"], ["fold", "folded"]]) {
        select.append(make("option", { value, selected: roles[axis] === value }, label));
      }
      select.addEventListener("change", () => {
        roles[axis] = select.value;
        renderGrid(index);
      });
      place.append(make("label", null, name, select));
    });
  }

  // ---- the panel

  const panel = byId("panel");
  let opener = null;

  const isOpen = () => !panel.hidden;

  function copyOf(i, open) {
    const copy = byId("t" + (i + 1)).cloneNode(true);
    copy.hidden = false;
    copy.open = open;
    for (const element of [copy, ...copy.querySelectorAll("[id]")]) element.removeAttribute("id");
    return copy;
  }

  function openPanel(list, from) {
    if (from && !panel.contains(from)) opener = from;
    const order = [...list].sort((a, b) => tests[a][RANK] - tests[b][RANK] || a - b);
    const cell = tests[order[0]][CELL];
    let title = count(list.length) + " tests";
    if (list.length === 1) title = idOf(tests[order[0]]);
    else if (order.every((i) => tests[i][CELL] === cell)) title = cells[cell - 1][1];
    const close = make("button", { type: "button" }, "Close");
    close.addEventListener("click", closePanel);
    panel.replaceChildren(make("div", null, make("h2", null, title), close));
    order.slice(0, 60).forEach((i, at) => panel.append(copyOf(i, at === 0)));
    if (order.length > 60) {
      panel.append(make("p", { class: "note" },
        count(order.length - 60) + " more; filters and other axes narrow it down."));
    }
    mark(null);
    if (opener) mark(opener);
    panel.dataset.test = order[0];
    panel.hidden = false;
    panel.scrollTop = 0;
    panel.focus();
  }

  function mark(link) {
    for (const other of document.querySelectorAll(".grid a.open")) other.classList.remove("open");
    if (link && link.closest(".grid")) link.classList.add("open");
  }

  function closePanel() {
    panel.hidden = true;
    panel.replaceChildren();
    mark(null);
    if (opener && opener.isConnected) opener.focus();
    opener = null;
  }

  // The next or previous test that did not simply pass, among those shown.
  function step(direction) {
    const list = tests.map((_, i) => i).filter((i) => shown[i] && tests[i][RANK] <= FLAKY);
    list.sort((a, b) => tests[a][RANK] - tests[b][RANK] || a - b);
    if (list.length === 0) return;
    const at = isOpen() ? list.indexOf(Number(panel.dataset.test)) : -1;
    const next = at < 0 ? (direction > 0 ? 0 : list.length - 1) : (at + direction + list.length) % list.length;
    openPanel([list[next]], isOpen() ? opener : document.activeElement);
  }

  // A link to a test that may be in a closed group.
  function reveal() {
    const match = /^#(t\d+|r\d+|g-\w+)$/.exec(location.hash);
    const target = match && byId(match[1]);
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView();
  }

  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest("a[href^='#t']");
    const match = link && /^#t(\d+)$/.exec(link.getAttribute("href"));
    const bar = event.target.closest("rect[data-t]");
    if (match) {
      event.preventDefault();
      const at = locate(link);
      if (at) focusField(at.rows, link);
      openPanel(at ? at.tests : [Number(match[1]) - 1], link);
    } else if (bar) {
      openPanel([Number(bar.dataset.t) - 1], null);
    }
  });

  // ---- filters

  const filter = { words: [], ranks: new Set(), axes: new Map() };
  const haystack = tests.map((test) =>
    (idOf(test) + " " + outcomes[test[RANK] - 1][2] + " " + test[WORDS]).toLowerCase());
  const items = tests.map((_, i) => byId("t" + (i + 1)));
  const bars = [...document.querySelectorAll("#timeline rect[data-t]")];
  const groups = [...document.querySelectorAll(".group")].map((group) => ({
    group, open: group.open, number: group.querySelector("summary .n"),
    text: group.querySelector("summary .n").textContent,
    rank: outcomes.findIndex((outcome) => "g-" + outcome[0] === group.id) + 1,
  }));
  const status = make("span", { id: "shown", role: "status" });

  function matches(test, i) {
    if (filter.ranks.size > 0 && !filter.ranks.has(test[RANK])) return false;
    for (const [name, value] of filter.axes) {
      const axes = axesOf(test);
      const axis = axes.findIndex((one) => one[0] === name);
      if (axis < 0 || axes[axis][1][place(test, axis) - 1] !== value) return false;
    }
    return filter.words.every((word) => haystack[i].includes(word));
  }

  function apply() {
    const active = filter.words.length + filter.ranks.size + filter.axes.size > 0;
    const visible = new Array(outcomes.length + 1).fill(0);
    let total = 0;
    tests.forEach((test, i) => {
      shown[i] = matches(test, i) ? 1 : 0;
      if (shown[i]) { visible[test[RANK]]++; total++; }
      if (items[i].hidden === Boolean(shown[i])) items[i].hidden = !shown[i];
    });
    for (const { group, open, number, text, rank } of groups) {
      group.hidden = visible[rank] === 0;
      number.textContent = active ? count(visible[rank]) + " of " + text : text;
      group.open = active ? visible[rank] <= 300 || open : open;
    }
    for (const bar of bars) bar.classList.toggle("off", !shown[bar.dataset.t - 1]);
    matrices.forEach((_, index) => renderGrid(index));
    status.textContent = active ? count(total) + " of " + count(tests.length) + " tests" : count(tests.length) + " tests";
    document.body.dataset.shown = total;
  }

  function filterForm() {
    const form = make("form", { role: "search" });
    const search = make("input", { type: "search", id: "search", placeholder: "Filter by id, tag, error   /",
      autocomplete: "off", spellcheck: "false", "aria-label": "Filter by text" });
    let timer = 0;
    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        filter.words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
        apply();
      }, 120);
    });
    form.append(search);
    const chips = make("span", { class: "chips", role: "group", "aria-label": "Filter by status" });
    for (const { rank } of groups) {
      const [name, glyph, label] = outcomes[rank - 1];
      const chip = make("button", { type: "button", class: "chip " + name, "aria-pressed": "false" },
        make("b", { "aria-hidden": "true" }, glyph), label);
      chip.addEventListener("click", () => {
        const on = !filter.ranks.has(rank);
        if (on) filter.ranks.add(rank); else filter.ranks.delete(rank);
        chip.setAttribute("aria-pressed", String(on));
        apply();
      });
      chips.append(chip);
    }
    if (groups.length > 1) form.append(chips);
    const values = new Map();
    for (const [axes] of matrices) {
      for (const [name, list] of axes) values.set(name, new Set([...(values.get(name) || []), ...list]));
    }
    const selects = make("span", { class: "selects" });
    for (const [name, list] of values) {
      if (list.size < 2) continue;
      const select = make("select", { "data-filter": name });
      select.append(make("option", { value: "" }, "any"),
        ...[...list].map((value) => make("option", { value: "=" + value }, value)));
      select.addEventListener("change", () => {
        if (select.value) filter.axes.set(name, select.value.slice(1)); else filter.axes.delete(name);
        apply();
      });
      selects.append(make("label", null, name, select));
    }
    selects.append(status);
    form.append(selects);
    form.addEventListener("submit", (event) => event.preventDefault());
    byId("filters").append(form);
    return search;
  }

  // ---- keys, and what is left

  const search = filterForm();
  status.textContent = count(tests.length) + " tests";

  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape") {
      if (isOpen()) closePanel();
      else if (event.target === search) {
        search.value = "";
        search.dispatchEvent(new Event("input"));
        search.blur();
      } else return;
    } else if (typing || event.altKey || event.metaKey || (event.ctrlKey && !/^(Home|End)$/.test(event.key))) {
      return;
    } else if (event.key === "/") {
      search.focus();
      search.select();
    } else if (event.key === "n" || event.key === "p") {
      step(event.key === "n" ? 1 : -1);
    } else if (!gridKey(event)) {
      return;
    }
    event.preventDefault();
  });

  document.addEventListener("pointerover", (event) => {
    const bar = event.target.closest && event.target.closest("rect[data-t]");
    if (!bar || bar.firstElementChild) return;
    const test = tests[bar.dataset.t - 1];
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = idOf(test) + ": " + outcomes[test[RANK] - 1][2] + ", " + duration(test[MS]);
    bar.append(title);
  });

  const rerun = byId("rerun");
  if (rerun && navigator.clipboard) {
    const copy = make("button", { type: "button", class: "copy" }, "Copy");
    copy.addEventListener("click", () => {
      navigator.clipboard.writeText(rerun.textContent).then(() => { copy.textContent = "Copied"; }, () => {});
    });
    rerun.after(" ", copy);
  }

  matrices.forEach((_, index) => {
    const table = byId("m" + (index + 1));
    if (!table) return;
    adopt(index, pivot(index), table);
    axisControls(index);
  });
  const keys = make("p", { class: "keys" });
  for (const [key, words] of [["arrows", " move in the grid  "], ["Enter", " opens  "], ["/", " search  "],
    ["n", " "], ["p", " next and previous trouble  "], ["Esc", " closes"]]) {
    keys.append(make("kbd", null, key), words);
  }
  byId("matrix").append(keys);
  window.addEventListener("hashchange", reveal);
  reveal();
  document.documentElement.dataset.ready = "yes";
})();
