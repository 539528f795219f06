// Queries: what `op:conv status:violates groups>1` means. A word alone is looked for everywhere.
const SHORT = { op: "operator", impl: "implementation", req: "requirement", is: "kind" };
const COLUMN = /^(?:kind|implementation|operator|dims|dtype|status|requirement|compared|unsupported|failing|worst)$/;
const TERM = /(-?)(?:([a-z_]+)(:|>=|<=|>|<|=))?("[^"]*"|[^\s"]+)/gi;
const DEFAULT = { groups: "1", stride: "1", dilation: "1", padding: "0/0", output_padding: "0", memory: "contiguous" };

function parseQuery(text) {
  const terms = [], sort = { column: "", down: false };
  for (const [whole, minus, field, sign, quoted] of text.matchAll(TERM)) {
    const value = quoted.replaceAll('"', "").toLowerCase();
    const name = SHORT[(field || "").toLowerCase()] || (field || "").toLowerCase();
    if (name === "sort") [sort.column, sort.down] = [value.replace(/^-/, ""), value.startsWith("-")];
    else if (name) terms.push({ name, sign, value, not: minus === "-" });
    else terms.push({ name: "", sign: "", value: whole.replaceAll('"', "").replace(/^-/, "").toLowerCase(), not: minus === "-" });
  }
  return { terms, sort };
}

function fieldsOf(id) {
  const [, , ...parts] = id.split(":"), fields = {};
  for (const part of parts) {
    const [name, value] = part.split("=", 2);
    if (value !== undefined) fields[name] = value;
    else if (part.includes("@")) [fields.data, fields.seed] = part.split("@", 2);
    else if (part) fields[part] = "yes";
  }
  return fields;
}

// The value of a field of a row: a column, or a parameter of its case.
function valueOf(row, name) {
  if (COLUMN.test(name)) return row[name];
  if (!row.case) return undefined;
  row.fields ??= fieldsOf(row.case);
  return row.fields[name] ?? DEFAULT[name] ?? (/^(bias|ceil_mode|exclude_pad)$/.test(name) ? "no" : undefined);
}

function matchesText(text, pattern) {
  if (!pattern.includes("*")) return text === pattern || (pattern.length > 3 && text.startsWith(pattern + " "));
  const escaped = pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*");
  return new RegExp(`^${escaped}$`).test(text);
}

function matchesNumbers(value, sign, wanted) {
  return String(value).split(/[,/]/).map(Number).some((number) =>
    sign === ">" ? number > wanted : sign === "<" ? number < wanted
      : sign === ">=" ? number >= wanted : sign === "<=" ? number <= wanted : number === wanted);
}

function matchesTerm(row, { name, sign, value }) {
  if (!name || name === "text") {
    row.all ??= `${row.kind} ${row.implementation} ${row.operator} ${row.dims}-d ${row.dtype} ${row.status} ${row.requirement} ${row.case} ${row.text}`.toLowerCase();
    return row.all.includes(value);
  }
  const found = valueOf(row, name);
  if (found === undefined || found === null) return false;
  if (sign === ":" || (sign === "=" && Number.isNaN(Number(value)))) {
    return value.split(",").some((one) => matchesText(String(found).toLowerCase(), one));
  }
  return matchesNumbers(found === "inf" ? Infinity : found, sign, Number(value));
}

function select(rows, { terms, sort }) {
  const found = rows.filter((row) => terms.every((term) => matchesTerm(row, term) !== term.not));
  if (!COLUMN.test(sort.column)) return found;
  const key = (row) => (row[sort.column] === "inf" ? Infinity : row[sort.column]);
  const empty = (value) => value === null || value === undefined || value === "";
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true }));
  return found.sort((one, other) => {
    const a = key(one), b = key(other);
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    return sort.down ? compare(b, a) : compare(a, b);
  });
}
