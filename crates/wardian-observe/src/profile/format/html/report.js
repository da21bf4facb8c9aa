"use strict";
(async () => {
  const $ = id => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  if (typeof DecompressionStream === "undefined") {
    $("notes").append("This report is compressed, which this browser cannot read: it is too old.");
    return;
  }
  const unpack = base64 => {
    const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
  };
  Object.assign(data, await unpack($("packed").textContent).json());
  const { functions, types, tree } = data;
  const count = tree.parents.length;
  const state = { tab: "flame", value: data.main, search: "", zoom: -1, select: -1, sort: "own", up: false };

  // Names come from the guest: they are only ever set as text.
  const make = (tag, props = {}, ...children) => {
    const { part, data: set, ...rest } = props;
    const element = Object.assign(document.createElement(tag), rest);
    if (part !== undefined) element.style.setProperty("--part", part);
    Object.assign(element.dataset, set);
    element.append(...children);
    return element;
  };

  const show = (amount, type) => {
    const short = (units, step) => {
      let unit = 0;
      while (amount >= step && unit < units.length - 1) { amount /= step; unit++; }
      return (unit ? amount.toFixed(amount < 10 ? 2 : 1) : amount) + " " + units[unit];
    };
    switch (type.unit) {
      case "nanoseconds": return amount ? short(["ns", "µs", "ms", "s"], 1000) : "0";
      case "bytes": return amount ? short(["B", "KiB", "MiB", "GiB"], 1024) : "0";
      default: return amount.toLocaleString("en");
    }
  };
  const percent = (part, all) => (all ? 100 * part / all : 0).toFixed(1) + "%";
  const share = (amount, type, all, className = "share") => make("td", { className, part: percent(amount, all) },
    show(amount, type), make("i", { textContent: percent(amount, all) }));

  // What was measured with callees, by quantity, and children in the order of weight.
  const children = tree.parents.map(() => []);
  const roots = [];
  tree.parents.forEach((parent, node) => (parent < 0 ? roots : children[parent]).push(node));
  const totals = tree.own.map(own => {
    const total = own.slice();
    for (let node = count - 1; node >= 0; node--) {
      if (tree.parents[node] >= 0) total[tree.parents[node]] += total[node];
    }
    return total;
  });
  const all = totals.map(total => roots.reduce((sum, node) => sum + total[node], 0));

  // For each node whether its function is further out too: then that one's total has it already.
  const nested = new Array(count).fill(false);
  {
    const open = new Array(functions.length).fill(0);
    const work = roots.map(node => [node, false]);
    while (work.length) {
      const [node, left] = work.pop();
      const of = tree.functions[node];
      if (left) { open[of]--; continue; }
      nested[node] = open[of]++ > 0;
      work.push([node, true]);
      for (const child of children[node]) work.push([child, false]);
    }
  }
  const rows = functions.map((f, index) => ({
    index, name: f.name, own: types.map(() => 0), total: types.map(() => 0),
  }));
  for (let node = 0; node < count; node++) {
    const row = rows[tree.functions[node]];
    types.forEach((_, value) => {
      row.own[value] += tree.own[value][node];
      if (!nested[node]) row.total[value] += totals[value][node];
    });
  }

  const place = f => f.file ? f.file.split("/").slice(-2).join("/") + (f.line ? ":" + f.line : "") : "";
  const matches = index =>
    state.search !== "" && functions[index].name.toLowerCase().includes(state.search.toLowerCase());

  const color = index => {
    const f = functions[index];
    if (f.kind === "other") return "#b7bcb8";
    let hash = 7;
    for (const c of f.name) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
    const hue = f.kind === "host" ? 195 + hash % 30 : 18 + hash % 40;
    return `hsl(${hue} ${62 + hash / 64 % 22 | 0}% ${62 + hash / 4096 % 12 | 0}%)`;
  };

  const describe = node => {
    const total = totals[state.value][node], own = tree.own[state.value][node];
    const type = types[state.value], whole = all[state.value];
    return `${functions[tree.functions[node]].name}: ${show(total, type)} (${percent(total, whole)}), ` +
      `itself ${show(own, type)} (${percent(own, whole)})`;
  };

  const ROW = 20, DEEPEST = 400;
  const drawFlame = () => {
    const graph = $("graph"), total = totals[state.value];
    graph.textContent = "";
    const width = graph.clientWidth || 1000;
    const box = (node, depth, left, size, above) => {
      const f = functions[tree.functions[node]];
      const element = make("div", { title: describe(node), data: { node } });
      element.style.cssText = `left:${left}px;top:${depth * ROW}px;width:${Math.max(size - 1, .5)}px;background:${color(tree.functions[node])}`;
      if (size > 24) element.textContent = f.name;
      if (above) element.classList.add("above");
      if (matches(tree.functions[node])) element.classList.add("match");
      graph.append(element);
    };
    const path = [];
    for (let node = state.zoom; node >= 0; node = tree.parents[node]) path.unshift(node);
    const outer = path.slice(0, -1).slice(-12);
    outer.forEach((node, depth) => box(node, depth, 0, width, true));
    const start = state.zoom < 0 ? roots : [state.zoom];
    const whole = start.reduce((sum, node) => sum + total[node], 0);
    let deepest = outer.length;
    const work = [[start, outer.length, 0]];
    while (work.length) {
      const [nodes, depth, from] = work.pop();
      let left = from;
      for (const node of nodes.slice().sort((a, b) => total[b] - total[a])) {
        const size = whole ? total[node] / whole * width : 0;
        if (size < .5) continue;
        box(node, depth, left, size, false);
        deepest = Math.max(deepest, depth + 1);
        if (depth < DEEPEST) work.push([children[node], depth + 1, left]);
        left += size;
      }
    }
    graph.style.height = Math.max(deepest, 1) * ROW + "px";
    $("reset").hidden = state.zoom < 0;
    $("path").textContent = state.zoom < 0
      ? "Click a function to see it alone. Callees are below their callers."
      : describe(state.zoom);
    let matched = 0;
    if (state.search) {
      // Outermost matches only, so that nothing counts twice.
      const visit = [...roots];
      while (visit.length) {
        const node = visit.pop();
        if (matches(tree.functions[node])) matched += total[node];
        else visit.push(...children[node]);
      }
    }
    $("matched").textContent = state.search ? "found: " + percent(matched, all[state.value]) : "";
    $("hover").textContent = whole ? "" : `Nothing was measured of ${types[state.value].name}.`;
  };

  // The call tree: rows are made when what they are in is opened, at most so many of each.
  const CALLS = 200, AT_ONCE = 50;
  const byWeight = nodes => {
    const total = totals[state.value];
    return nodes.filter(node => total[node] > 0).sort((a, b) => total[b] - total[a] || a - b);
  };
  const callRow = (node, level) => {
    const type = types[state.value], whole = all[state.value], f = functions[tree.functions[node]];
    const [total, own] = [totals[state.value][node], tree.own[state.value][node]];
    const cell = (amount, className) => make("span", { className, part: percent(amount, whole) },
      show(amount, type), make("i", { textContent: percent(amount, whole) }));
    const name = make("span", { className: "name", title: f.name }, f.name, make("small", { textContent: place(f) }));
    // Deep calls stay readable: beyond that a number tells how deep they are.
    name.style.paddingLeft = Math.min(level, 40) * 14 + 16 + "px";
    if (level > 40) name.prepend(make("small", { textContent: `+${level - 40} ` }));
    const row = make("div", { className: "call", tabIndex: -1, data: { call: node, level } },
      cell(total, "share total"), cell(own, "share"), name);
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", level + 1);
    if (children[node].some(child => totals[state.value][child] > 0)) row.setAttribute("aria-expanded", "false");
    row.classList.toggle("match", matches(tree.functions[node]));
    return row;
  };
  // Rows of calls that are beside each other, with one for those that are left out.
  const callRows = (nodes, level, from = 0) => {
    const sorted = byWeight(nodes), part = sorted.slice(from, from + CALLS);
    const rows = part.map(node => callRow(node, level));
    const left = sorted.length - from - part.length;
    if (left > 0) {
      const more = make("div", { className: "call more", tabIndex: -1, data: { level, from: from + CALLS } },
        make("span", { className: "name", textContent: `${left.toLocaleString("en")} more` }));
      more.style.setProperty("--indent", Math.min(level, 40) * 14 + 16 + "px");
      more.setAttribute("role", "treeitem");
      more.setAttribute("aria-level", level + 1);
      rows.push(more);
    }
    return rows;
  };
  const isOpen = row => row.getAttribute("aria-expanded") === "true";
  const opens = row => row.getAttribute("aria-expanded") === "false";
  const levelOf = row => +row.dataset.level;
  const outerRow = row => {
    let at = row.previousElementSibling;
    while (at && levelOf(at) >= levelOf(row)) at = at.previousElementSibling;
    return at;
  };
  const openCall = row => {
    if (!opens(row)) return;
    row.setAttribute("aria-expanded", "true");
    // What has one callee only is no choice: it is opened too, but not all of a recursion.
    for (let at = row, opened = 0; opened < AT_ONCE; opened++) {
      const rows = callRows(children[+at.dataset.call], levelOf(at) + 1);
      at.after(...rows);
      at = rows[0];
      if (rows.length > 1 || !opens(at)) return;
      if (opened + 1 < AT_ONCE) at.setAttribute("aria-expanded", "true");
    }
  };
  const closeCall = row => {
    if (!isOpen(row)) return;
    row.setAttribute("aria-expanded", "false");
    while (row.nextElementSibling && levelOf(row.nextElementSibling) > levelOf(row)) row.nextElementSibling.remove();
  };
  const moreCalls = row => {
    const outer = outerRow(row);
    const rows = callRows(outer ? children[+outer.dataset.call] : roots, levelOf(row), +row.dataset.from);
    row.replaceWith(...rows);
    focusCall(rows[0]);
  };
  // One row is reached by the tab key, the others by arrows from there.
  const focusCall = row => {
    if (!row) return;
    for (const old of $("call-tree").querySelectorAll("[tabindex='0']")) old.tabIndex = -1;
    row.tabIndex = 0;
    row.focus();
  };
  // The rows right inside of a row, or the outermost ones.
  const innerRows = row => {
    const level = row ? levelOf(row) + 1 : 0, rows = [];
    let at = row ? row.nextElementSibling : $("call-tree").firstElementChild;
    for (; at && levelOf(at) >= level; at = at.nextElementSibling) {
      if (levelOf(at) === level) rows.push(at);
    }
    return rows;
  };
  const heaviestMatch = () => {
    const total = totals[state.value];
    let best = -1;
    for (let node = 0; node < count; node++) {
      if (matches(tree.functions[node]) && total[node] > (best < 0 ? 0 : total[best])) best = node;
    }
    return best;
  };
  // Opens what leads to the heaviest call of those that are searched for, or of all.
  const openHeaviest = () => {
    const way = [];
    if (state.search) for (let node = heaviestMatch(); node >= 0; node = tree.parents[node]) way.unshift(node);
    let row = null;
    for (let level = 0; !way.length || level < way.length; level++) {
      const fits = other => "call" in other.dataset && (!way.length || +other.dataset.call === way[level]);
      if (row) openCall(row);
      const inner = innerRows(row).find(fits);
      if (!inner) break;
      row = inner;
    }
    focusCall(row);
  };
  const drawCalls = () => {
    const label = (textContent, className = "share") => make("span", { textContent, className });
    $("call-head").replaceChildren(label("Total"), label("Self"), label("Function", "name"));
    const rows = callRows(roots, 0);
    $("call-tree").replaceChildren(...rows);
    if (!rows.length) $("call-tree").textContent = `Nothing was measured of ${types[state.value].name}.`;
    else rows[0].tabIndex = 0;
    if (rows.length === 1) openCall(rows[0]);
    const searched = state.search !== "";
    $("hottest").textContent = searched ? "Open the heaviest match" : "Open the heaviest path";
    $("hottest").hidden = !rows.length || searched && heaviestMatch() < 0;
  };
  const callKey = event => {
    const row = event.target.closest("#call-tree > .call");
    if (!row || event.ctrlKey || event.altKey || event.metaKey) return;
    const inner = row.nextElementSibling && levelOf(row.nextElementSibling) > levelOf(row) && row.nextElementSibling;
    const act = {
      ArrowDown: () => focusCall(row.nextElementSibling),
      ArrowUp: () => focusCall(row.previousElementSibling),
      ArrowRight: () => isOpen(row) ? focusCall(inner) : openCall(row),
      ArrowLeft: () => isOpen(row) ? closeCall(row) : focusCall(outerRow(row)),
      Home: () => focusCall($("call-tree").firstElementChild),
      End: () => focusCall($("call-tree").lastElementChild),
      "*": () => [...$("call-tree").children].filter(other =>
        levelOf(other) === levelOf(row) && outerRow(other) === outerRow(row)).forEach(openCall),
      Enter: () => toggleCall(row),
      " ": () => toggleCall(row),
    }[event.key];
    if (act) { event.preventDefault(); act(); }
  };
  const toggleCall = row => {
    if ("from" in row.dataset) moreCalls(row);
    else if (isOpen(row)) closeCall(row);
    else openCall(row);
  };

  const LIMIT = 500;
  const drawFunctions = () => {
    const value = state.value, type = types[value], whole = all[value];
    const others = types.map((_, index) => index).filter(index => index !== value);
    const columns = [
      ["name", "Function", row => row.name],
      ["own", "Self", row => row.own[value]],
      ["total", "Total", row => row.total[value]],
      ...others.map(other => ["own" + other, types[other].name, row => row.own[other]]),
    ];
    const sort = columns.find(column => column[0] === state.sort) || columns[1];
    const head = make("tr");
    for (const [key, label] of columns) {
      const th = make("th", { className: key === "name" ? "name" : "" },
        make("button", { textContent: label, data: { sort: key } }));
      if (key === sort[0]) th.setAttribute("aria-sort", state.up ? "ascending" : "descending");
      head.append(th);
    }
    $("function-table").tHead.replaceChildren(head);
    const compare = (a, b) => {
      const [x, y] = [sort[2](a), sort[2](b)];
      const order = x < y ? -1 : x > y ? 1 : 0;
      return (state.up ? order : -order) || (a.name < b.name ? -1 : 1);
    };
    const chosen = rows.filter(row =>
      (state.search === "" || matches(row.index)) && types.some((_, i) => row.total[i] > 0));
    chosen.sort(compare);
    const body = document.createDocumentFragment();
    for (const row of chosen.slice(0, LIMIT)) {
      const f = functions[row.index];
      const tr = make("tr", { data: { function: row.index } },
        make("td", { className: "name", title: f.name }, f.name, make("small", { textContent: place(f) })),
        share(row.own[value], type, whole), share(row.total[value], type, whole, "share total"),
        ...others.map(other => make("td", { textContent: show(row.own[other], types[other]) })));
      if (row.index === state.select) tr.setAttribute("aria-selected", "true");
      body.append(tr);
    }
    $("function-table").tBodies[0].replaceChildren(body);
    $("more").textContent = chosen.length > LIMIT
      ? `${chosen.length - LIMIT} more functions: search to find them.` : "";
    drawDetail();
  };

  const drawDetail = () => {
    const detail = $("detail"), total = totals[state.value], type = types[state.value];
    if (state.select < 0) {
      detail.replaceChildren(make("p", { className: "muted" }, "Choose a function to see who calls it, and what it calls."));
      return;
    }
    const f = functions[state.select], row = rows[state.select];
    const callers = new Map(), callees = new Map();
    const add = (to, key, amount) => to.set(key, (to.get(key) || 0) + amount);
    for (let node = 0; node < count; node++) {
      if (tree.functions[node] !== state.select) continue;
      const parent = tree.parents[node];
      if (!nested[node]) add(callers, parent < 0 ? -1 : tree.functions[parent], total[node]);
      for (const child of children[node]) {
        if (tree.functions[child] !== state.select) add(callees, tree.functions[child], total[child]);
      }
    }
    const list = calls => {
      const sorted = [...calls].sort((a, b) => b[1] - a[1]).slice(0, 40);
      if (!sorted.length) return make("p", { className: "muted" }, "none");
      return make("ul", { className: "calls" }, ...sorted.map(([index, amount]) => {
        const name = index < 0 ? "the host" : functions[index].name;
        return make("li", { title: name, part: percent(amount, row.total[state.value]), data: { function: index } },
          make("span", { textContent: name }), make("span", { textContent: show(amount, type) }));
      }));
    };
    detail.replaceChildren(
      make("h2", { textContent: f.name }),
      make("p", { className: "muted" }, [f.raw === f.name ? "" : f.raw, f.module || "", f.file ? f.file + (f.line ? ":" + f.line : "") : ""].filter(Boolean).join(" · ")),
      make("p", {}, `itself ${show(row.own[state.value], type)}, in all ${show(row.total[state.value], type)}`),
      make("h3", { textContent: "Called by" }), list(callers),
      make("h3", { textContent: "Calls" }), list(callees));
  };

  const drawLines = () => {
    const value = state.value, whole = all[value];
    const chosen = data.lines.filter(line => line.own[value] > 0 && (state.search === "" || matches(line.function)))
      .sort((a, b) => b.own[value] - a.own[value]);
    $("no-lines").hidden = data.lines.length > 0;
    $("line-table").parentElement.hidden = data.lines.length === 0;
    $("line-table").classList.toggle("bare", chosen.every(line => line.text === null));
    const label = (text, className = "") => make("th", { textContent: text, className });
    $("line-table").tHead.replaceChildren(make("tr", {}, label("Self"), label("Line", "name"), label("Source", "code")));
    $("line-table").tBodies[0].replaceChildren(...chosen.map(line => {
      const code = make("td", { className: "code" });
      if (line.around.length) {
        const toggle = make("button", { title: "Lines around it", data: { line: line.index } },
          make("code", { textContent: line.text.trim() }));
        toggle.setAttribute("aria-expanded", "false");
        code.append(toggle);
      } else code.append(make("code", { textContent: (line.text ?? "").trim() }));
      return make("tr", {}, share(line.own[value], types[value], whole),
        make("td", { className: "name", title: `${line.file}:${line.line}` },
          place(line), make("small", { textContent: functions[line.function].name })), code);
    }));
    // What is hottest is shown at once.
    [...$("line-table").querySelectorAll("[data-line]")].slice(0, OPEN_LINES).forEach(toggleLine);
  };

  const OPEN_LINES = 3;
  data.lines.forEach((line, index) => { line.index = index; });
  const known = new Map(data.lines.map(line => [line.file + ":" + line.line, line]));
  const toggleLine = button => {
    const row = button.closest("tr"), line = data.lines[+button.dataset.line];
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", open);
    if (!open) { row.nextElementSibling.remove(); return; }
    const value = state.value;
    const lines = line.around.map((text, index) => {
      const number = line.first + index, same = number === line.line;
      const own = known.get(line.file + ":" + number)?.own[value] || 0;
      return make("div", { className: same ? "same" : "" },
        make("span", { textContent: own ? percent(own, all[value]) : "" }),
        make("span", { textContent: number }), make("code", { textContent: text }));
    });
    row.after(make("tr", { className: "around" }, make("td", { colSpan: 3 }, ...lines)));
  };

  // Folded stacks of the quantity that is shown, as `wardian profile -o FILE.folded` writes them.
  const MOST = 64 << 20;
  const folded = () => {
    const clean = functions.map(f => f.name.replaceAll(";", ":").replace(/\p{Cc}/gu, " "));
    const own = tree.own[state.value], lines = [];
    const work = roots.map(node => [node, ""]);
    let size = 0;
    while (work.length && size < MOST) {
      const [node, callers] = work.pop();
      const stack = callers + clean[tree.functions[node]];
      if (own[node]) size += lines.push(stack + " " + own[node] + "\n") && stack.length;
      for (const child of children[node]) work.push([child, stack + ";"]);
    }
    return new Blob(size < MOST ? lines : [], { type: "text/plain" });
  };

  // Files are made or unpacked when they are asked for.
  const bytesOf = async file => file.made ? folded() : new Blob([await unpack(file.packed).blob()], { type: file.mime });
  const save = async file => {
    const href = URL.createObjectURL(await bytesOf(file));
    make("a", { href, download: file.name }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60000);
  };
  const drawDownloads = () => $("files").replaceChildren(...data.downloads.map((file, index) => {
    const size = file.bytes === null ? "" : ` (${show(file.bytes, { unit: "bytes" })})`;
    let link = make("span", { textContent: `${file.name} would make this report too large: ${file.otherwise}` });
    if (file.href) link = make("a", { href: file.href, download: file.name, textContent: file.name });
    if (file.made || file.packed) link = make("button", { textContent: file.name, data: { file: index } });
    return make("li", {}, link, make("div", { className: "muted", textContent: file.what + size }));
  }));

  const draw = () => {
    for (const tab of document.querySelectorAll("[data-tab]")) {
      const on = tab.dataset.tab === state.tab;
      tab.setAttribute("aria-selected", on);
      $(tab.dataset.tab).hidden = !on;
    }
    for (const button of $("values").children) {
      button.setAttribute("aria-pressed", +button.dataset.value === state.value);
    }
    ({ flame: drawFlame, calls: drawCalls, functions: drawFunctions, lines: drawLines, downloads: drawDownloads })[state.tab]();
  };
  const change = what => { Object.assign(state, what); draw(); };

  $("program").textContent = data.program;
  const facts = [["", data.kind + " profile"], ["engine", data.engine], ["took", data.seconds.toFixed(2) + " s"],
    ["", data.counts], ["", new Date(data.start).toLocaleString()]];
  $("facts").append(...facts.filter(fact => fact[1])
    .map(([label, text]) => make("li", {}, label ? make("b", { textContent: label + " " }) : "", text)));
  $("notes").append(...data.notes.map(note => make("li", { textContent: note })));
  $("values").append(...types.map((type, value) => make("button", { textContent: type.name, data: { value } })));

  document.addEventListener("click", event => {
    const row = event.target.closest("#call-tree > .call");
    if (row) { toggleCall(row); if (row.isConnected) focusCall(row); return; }
    const at = event.target.closest("[data-tab], [data-value], [data-node], [data-function], [data-sort], [data-line], [data-file], #hottest, #reset");
    if (!at) return;
    const { tab, value, node, function: of, sort, line, file } = at.dataset;
    if (tab) change({ tab });
    else if (value) change({ value: +value });
    else if (node) change({ zoom: +node, select: tree.functions[node] });
    else if (of) change({ select: +of });
    else if (line) toggleLine(at);
    else if (file) save(data.downloads[+file]);
    else if (at.id === "hottest") openHeaviest();
    else if (sort) change({ sort, up: sort === state.sort ? !state.up : sort === "name" });
    else change({ zoom: -1 });
  });
  document.addEventListener("keydown", callKey);
  document.addEventListener("mouseover", event => {
    const at = event.target.closest("[data-node]");
    if (at) $("hover").textContent = describe(+at.dataset.node);
  });
  $("search").addEventListener("input", event => change({ search: event.target.value }));
  addEventListener("resize", () => state.tab === "flame" && draw());

  // The address can name a view: #tab=functions&search=alloc
  const view = new URLSearchParams(location.hash.slice(1));
  if (["flame", "calls", "functions", "lines", "downloads"].includes(view.get("tab"))) state.tab = view.get("tab");
  state.search = $("search").value = view.get("search") || "";
  draw();
})();
