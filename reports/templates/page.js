// The page with a script: the query in the address, copying, and other runs' files.
const written = (text) => encodeURI(text).replaceAll("#", "%23");
const read = (hash) => { try { return decodeURIComponent(hash.slice(1)); } catch { return hash.slice(1); } };
const isQuery = (text) => /(^|\s)-?[a-z_]+(:|[<>]=?|=)\S/i.test(text) && !document.getElementById(text);

const placeOf = (row) => `${row.implementation}/${row.operator}${row.dims}d/${row.dtype}`.trim().replace(/\s+/g, "_");

function follow() {
  const text = read(location.hash);
  if (isQuery(text)) {
    by("query").value = text;
    show(text);
    by("explore").scrollIntoView();
    return;
  }
  for (let at = document.getElementById(text); at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  document.getElementById(text)?.scrollIntoView({ block: "center" });
  const cell = explorer.rows.find((row) => row.kind === "cell" && placeOf(row) === text);
  if (cell) show(by("query").value = `impl:"${cell.implementation}" op:${cell.operator} dims:${cell.dims} dtype:${cell.dtype}`);
}

// The address says what is shown, without an entry in the history for each letter typed.
function typed(text) {
  history.replaceState(null, "", text.trim() ? `#${written(isQuery(text) ? text : `text:${text}`)}` : location.pathname + location.search);
  show(text);
}

function withTerm(name, value) {
  const short = Object.keys(SHORT).find((key) => SHORT[key] === name) ?? name;
  const others = [...by("query").value.matchAll(TERM)].filter(([, minus, field, sign]) =>
    minus || sign !== ":" || (SHORT[field?.toLowerCase()] ?? field?.toLowerCase()) !== name).map(([whole]) => whole);
  if (value) others.push(`${short}:${/\s/.test(value) ? `"${value}"` : value}`);
  by("query").value = others.join(" ");
  typed(by("query").value);
}

function fillChoices() {
  for (const choice of document.querySelectorAll("#filter select")) {
    const values = [...new Set(explorer.rows.map((row) => row[choice.name]).filter((value) => value !== null && value !== ""))];
    values.sort((a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));
    choice.replaceChildren(element("option", { value: "" }, `any ${choice.dataset.label}`),
      ...values.map((value) => element("option", { value: String(value).toLowerCase() }, String(value))));
  }
}

function use(rows) {
  explorer.rows = rows;
  fillChoices();
  show(by("query").value);
}

// A run as `convformance report --json` writes it, as rows.
function rowsOfRun(run) {
  const rows = { violation: [], known: [], cell: [] }, list = (value) => (Array.isArray(value) ? value : []);
  for (const one of list(run.implementations)) {
    for (const cell of list(one.cells)) {
      const place = { implementation: String(one.name), operator: String(cell.operator), dims: cell.dims, dtype: String(cell.dtype) };
      rows.cell.push({ kind: "cell", ...place, status: String(cell.verdict), requirement: "", case: String(cell.worst_case ?? ""), compared: cell.compared, unsupported: cell.unsupported, failing: cell.violating + (cell.known ?? 0), worst: cell.worst, text: "" });
      for (const v of list(cell.violations)) {
        rows.violation.push({ kind: "violation", ...place, status: String(v.status), requirement: String(v.requirement), case: String(v.case), compared: null, unsupported: null, failing: v.count, worst: null, text: String(v.message) });
      }
    }
  }
  for (const k of list(run.known)) {
    const [head, dtype = ""] = String(k.case).split(":");
    rows.known.push({ kind: "known", implementation: String(k.implementation), operator: String(k.operator), dims: Number(/([123])d$/.exec(head)?.[1]) || null, dtype, status: String(k.status), requirement: String(k.requirement), case: String(k.case), compared: null, unsupported: null, failing: k.count, worst: null, text: String(k.reason) });
  }
  return [...rows.violation, ...rows.known, ...rows.cell];
}

async function openFile(file) {
  let run;
  try {
    run = JSON.parse(await file.text());
    if (!Array.isArray(run?.implementations)) throw new SyntaxError("it has no list 'implementations'");
  } catch (problem) {
    by("said").textContent = `${file.name} is not what "convformance report --json" writes: ${problem.message}`;
    return;
  }
  const verdicts = run.implementations.map((one) => String(one.verdict));
  const counted = [...new Set(verdicts)].map((verdict) => `${verdicts.filter((one) => one === verdict).length} ${verdict}`);
  by("said").textContent = "";
  by("other-title").textContent = `${file.name}: ${counted.join(", ") || "no implementation"}`;
  by("other-verdicts").replaceChildren(...run.implementations.map((one) =>
    element("li", {}, pill(String(one.verdict)), " ", element("a", { href: `#${written(`impl:"${one.name}"`)}` }, String(one.name)), ` ${one.version ?? ""}`)));
  by("other").hidden = by("back").hidden = false;
  document.querySelector("main").classList.add("of-another");
  by("query").value = "";
  history.replaceState(null, "", location.pathname + location.search);
  use(rowsOfRun(run));
  by("other").scrollIntoView();
}

function start() {
  const own = toRows(JSON.parse(by("rows").textContent));
  document.documentElement.classList.add("scripted");
  by("explore").hidden = false;
  for (const link of document.querySelectorAll("nav [hidden]")) link.hidden = false;
  by("results").tHead.append(element("tr", {}, element("td"), ...TITLES.map(([column, title]) => {
    const sorted = () => { const { sort } = explorer.query; withTerm("sort", sort.column === column && !sort.down ? `-${column}` : column); };
    return element("th", { scope: "col", "data-column": column, className: NUMBERS.has(column) ? "number" : "" }, element("button", { type: "button", onclick: sorted }, title));
  })));
  for (const code of document.querySelectorAll("pre.copy, pre.script")) {
    const box = element("div", { className: "copybox" });
    code.replaceWith(box);
    box.append(code, copyButton(code.textContent, code.dataset.what ?? "Copy"));
  }
  by("query").addEventListener("input", () => typed(by("query").value));
  by("filter").addEventListener("submit", (event) => event.preventDefault());
  for (const choice of document.querySelectorAll("#filter select")) choice.addEventListener("change", () => withTerm(choice.name, choice.value));
  by("more").addEventListener("click", showMore);
  by("link").addEventListener("click", (event) => copy(location.href, event.currentTarget));
  by("back").addEventListener("click", () => {
    by("other").hidden = by("back").hidden = true;
    document.querySelector("main").classList.remove("of-another");
    use(own);
  });
  by("file").addEventListener("change", (event) => { if (event.target.files[0]) openFile(event.target.files[0]); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) openFile(event.dataTransfer.files[0]);
  });
  addEventListener("hashchange", follow);
  use(own);
  follow();
}

start();
