// The table under "Explore": the rows that match the query in the address, some at a time.
const SHOWN = 100;
const TITLES = [["implementation", "implementation"], ["operator", "operator"], ["dims", "dims"], ["dtype", "dtype"], ["status", "status"], ["requirement", "requirement"], ["compared", "compared"], ["failing", "failing"], ["worst", "worst / bound"]];
const NUMBERS = new Set(["compared", "failing", "worst"]);
const KINDS = { "conforms": ["good", "✓"], "inconclusive": ["unsure", "?"], "known difference": ["unsure", "?"], "violates": ["bad", "✗"], "crashed": ["bad", "✗"], "timed out": ["bad", "✗"], "adapter wrong": ["bad", "✗"], "stale": ["bad", "✗"] };
const by = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function pill(status) {
  const [kind, symbol] = Object.hasOwn(KINDS, status) ? KINDS[status] : ["none", "-"];
  return element("span", { className: `pill ${kind}` }, element("span", { "aria-hidden": "true" }, symbol), ` ${status}`);
}

function copyButton(text, what = "Copy") {
  return element("button", { type: "button", className: "copies", title: what, onclick: (event) => copy(text, event.currentTarget) }, what);
}

async function copy(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // a page that is no secure context has no clipboard
    const field = element("textarea", { value: text, className: "hidden" });
    document.body.append(field);
    field.select();
    done = document.execCommand("copy");
    field.remove();
  }
  const before = button.dataset.label ??= button.textContent;
  button.textContent = done ? "Copied" : "Not allowed";
  by("said").textContent = done ? "Copied." : "The browser does not allow copying.";
  setTimeout(() => { button.textContent = before; }, 1500);
}

const quotedForShell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const number = (value) => (typeof value === "number" ? value.toLocaleString("en") : value ?? "");
const share = (value) => (typeof value === "number" ? (value && value < 0.001 ? "<0.001" : Number(value.toPrecision(3)).toString()) : value ?? "");

function toRows([columns, ...lists]) {
  return lists.map((list) => Object.fromEntries(columns.map((column, index) => [column, list[index]])));
}

function details(row) {
  const box = element("div", { className: "about" });
  if (row.text) box.append(element("p", {}, row.text));
  if (row.kind === "cell") {
    box.append(element("p", {}, `${number(row.compared)} compared, ${number(row.unsupported)} not supported, ${number(row.failing)} failing${row.case ? "; the largest error is in this case:" : "."}`));
  }
  if (row.case) {
    const command = `convformance replay ${quotedForShell(row.case)} ${/^[\w.@+-]+$/.test(row.implementation) ? row.implementation : quotedForShell(row.implementation)}`;
    box.append(element("pre", { className: "copy" }, element("code", {}, row.case)), copyButton(row.case, "Copy case"),
      element("pre", { className: "copy" }, element("code", {}, command)), copyButton(command, "Copy command"));
  }
  return box;
}

const explorer = { rows: [], found: [], shown: 0, query: parseQuery("") };

function show(text) {
  explorer.query = parseQuery(text);
  explorer.found = select(explorer.rows, explorer.query);
  explorer.shown = 0;
  by("results").tBodies[0].replaceChildren();
  showMore();
  const { column, down } = explorer.query.sort;
  for (const head of by("results").tHead.rows[0].cells) {
    const own = head.dataset.column === column;
    head.setAttribute("aria-sort", own ? (down ? "descending" : "ascending") : "none");
  }
  for (const choice of document.querySelectorAll("#filter select")) {
    const term = explorer.query.terms.find((one) => one.name === choice.name && one.sign === ":" && !one.not);
    choice.value = term && [...choice.options].some((option) => option.value === term.value) ? term.value : "";
  }
}

function showMore() {
  const body = by("results").tBodies[0], part = document.createDocumentFragment();
  for (const row of explorer.found.slice(explorer.shown, explorer.shown + SHOWN)) part.append(line(row));
  explorer.shown = Math.min(explorer.found.length, explorer.shown + SHOWN);
  if (!explorer.found.length) part.append(element("tr", {}, element("td", { colSpan: TITLES.length + 1 }, "No row matches.")));
  body.append(part);
  const all = explorer.found.length.toLocaleString("en");
  by("count").textContent = `${all} of ${explorer.rows.length.toLocaleString("en")} rows${explorer.shown < explorer.found.length ? `, the first ${explorer.shown}` : ""}`;
  by("more").hidden = explorer.shown >= explorer.found.length;
}

function line(row) {
  const opener = element("button", { type: "button", className: "opener", "aria-expanded": "false", title: "Show the case", onclick: () => open(row, made, opener) }, "+");
  const made = element("tr", {}, element("td", {}, opener));
  for (const [column] of TITLES) {
    const value = row[column];
    if (column === "implementation") made.append(element("th", { scope: "row" }, value));
    else if (column === "status") made.append(element("td", {}, pill(value)));
    else if (column === "worst") made.append(element("td", { className: "number" }, share(value)));
    else made.append(element("td", { className: NUMBERS.has(column) ? "number" : "" }, column === "dims" && value ? `${value}-D` : String(number(value))));
  }
  return made;
}

function open(row, above, opener) {
  const opened = opener.getAttribute("aria-expanded") === "true";
  opener.setAttribute("aria-expanded", String(!opened));
  opener.textContent = opened ? "+" : "−";
  if (opened) above.nextElementSibling.remove();
  else above.after(element("tr", { className: "detail" }, element("td", { colSpan: TITLES.length + 1 }, details(row))));
}
