// The page: choose a run and a task, ask, see the answer; a second run beside the first. What the service says is put
// in as text only, and the key is kept in this page's memory only.

const at = (id) => document.getElementById(id);
const MOST = 5; // classes that are shown of a prediction

let tasks = []; // as /v1/tasks has them
let filled = ""; // the example that stands in the row's field, unless something else was typed

/** An element with a text, or with others in it. */
function made(name, content = "", attributes = {}) {
  const element = document.createElement(name);
  if (Array.isArray(content)) element.append(...content);
  else element.textContent = content;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** What the service answers; throws an Error with its own words. */
async function asked(path, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  if (at("key").value) headers.Authorization = `Bearer ${at("key").value}`;
  const options = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The service does not answer.");
  }
  const found = await answer.json().catch(() => ({}));
  if (answer.status === 401) at("key").focus();
  if (!answer.ok) throw new Error(found.error ?? `The service answered with status ${answer.status}.`);
  return found;
}

function say(error) {
  at("error").textContent = error;
}

/** Offer these values, and keep what is chosen where it is still there. */
function offer(select, values, first = []) {
  const chosen = select.value;
  select.replaceChildren(...first.concat(values.map((value) => made("option", value, { value }))));
  if (values.includes(chosen)) select.value = chosen;
}

const current = () => tasks.find((of) => of.run === at("run").value && of.task === at("task").value);

async function look() {
  say("");
  try {
    tasks = (await asked("v1/tasks")).tasks;
    if (!tasks.length) say("No run is served yet, or none that this key may ask.");
  } catch (error) {
    tasks = [];
    say(error.message);
  }
  offer(at("run"), [...new Set(tasks.map((of) => of.run))]);
  showTasks();
}

function showTasks() {
  offer(at("task"), tasks.filter((of) => of.run === at("run").value).map((of) => of.task));
  showTask();
}

function showTask() {
  const of = current();
  const others = tasks.filter((other) => of && other.task === of.task && other.run !== of.run).map((other) => other.run);
  offer(at("beside"), others, [made("option", others.length ? "nothing" : "no other run has it", { value: "" })]);
  at("beside").disabled = !others.length;
  at("verb").options[1].disabled = !of?.ranks;
  if (!of?.ranks) at("verb").value = "predict";
  at("question").textContent = of ? `${of.kind}: ${of.question}?` : "";
  at("ask").disabled = at("example").disabled = !of;
  showVerb();
}

function showVerb() {
  const of = current();
  const ranks = at("verb").value === "recommend";
  at("many").hidden = !ranks;
  at("keys").textContent = !of ? "" : ranks
    ? "JSON: who or what asks, by user, history or query; further keys narrow what may be named (exclude, where)"
    : `JSON: a row or a list of rows, each of ${of.keys.join(", ")}`;
  if ([filled, ""].includes(at("row").value)) fill();
}

/** Put the task's example into the row's field. */
function fill() {
  const of = current();
  if (!of) return;
  const row = { ...of.example };
  if (at("verb").value === "recommend") for (const key of Object.keys(row)) if (!["history", "query"].includes(key)) delete row[key];
  filled = JSON.stringify(row, null, 1).replace(/\n\s*/g, " ");
  at("row").value = filled;
}

async function ask(event) {
  event?.preventDefault();
  const of = current();
  if (!of) return;
  let row;
  try {
    row = JSON.parse(at("row").value);
  } catch (error) {
    say(`The row is no JSON: ${error.message}`);
    at("row").focus();
    return;
  }
  say("");
  at("answers").setAttribute("aria-busy", "true");
  const sides = [...new Set([of.run, at("beside").value])].filter(Boolean).map((run) => answer(of.task, run, row));
  at("answers").replaceChildren(...(await Promise.all(sides)));
  at("answers").setAttribute("aria-busy", "false");
}

/** A section with what one run says. */
async function answer(task, run, row) {
  const verb = at("verb").value;
  const body = verb === "predict" ? { rows: Array.isArray(row) ? row : [row] } : { ...row, k: Number(at("k").value) };
  const title = made("h2", `${run}: ${task}`);
  const begun = performance.now();
  try {
    const found = await asked(`v1/tasks/${encodeURIComponent(task)}/${verb}?run=${encodeURIComponent(run)}`, body);
    const all = performance.now() - begun;
    const took = `${found.took_ms.toFixed(1)} ms in the service, ${all.toFixed(1)} ms with the way to it and back`;
    return made("section", [
      title,
      made("p", took, { class: "note took" }),
      verb === "predict" ? predictions(found.predictions) : items(found.items),
    ], { "aria-label": `${run}: ${task}` });
  } catch (error) {
    return made("section", [title, made("p", error.message, { class: "note" })], { "aria-label": `${run}: ${task}` });
  }
}

const lines = (rows) => made("tbody", rows.map((cells) => made("tr", cells)));

const number = (value) => (value === null ? "–" : Math.abs(value) >= 1e4 ? value.toLocaleString("en") : value.toPrecision(4));

/** A bar for a share between two ends; nothing where it would say nothing. */
function bar(value, least, most, label) {
  const cell = made("td", "", { class: "bar" });
  if (value !== null && most > least)
    cell.append(made("meter", "", { min: least, max: most, value, "aria-label": label }));
  return cell;
}

function items(found) {
  const scores = found.map((of) => of.score);
  const [least, most] = [Math.min(0, ...scores), Math.max(...scores)];
  if (!found.length) return made("p", "No item is left to name.");
  const heads = [["#", "number"], ["Item", ""], ["Score", "number"]].map(([text, kind]) =>
    made("th", text, { scope: "col", class: kind }));
  const head = made("thead", [made("tr", [...heads, made("td")])]);
  return made("table", [head, lines(found.map((of, place) => [
    made("td", `${place + 1}`, { class: "number" }),
    made("th", [made("div", of.text), made("div", of.item, { class: "note" })], { scope: "row" }),
    made("td", number(of.score), { class: "number" }),
    bar(of.score, least, most, `score of ${of.text}`),
  ]))]);
}

function predictions(found) {
  const rows = found.flatMap((prediction, place) => told(prediction).map(([name, value, share], line) => [
    ...(found.length > 1 ? [made("td", line ? "" : `${place + 1}`, { class: "number" })] : []),
    made("th", name, { scope: "row" }),
    made("td", typeof value === "number" || value === null ? number(value) : value, { class: "number" }),
    bar(share ? value : null, 0, 1, name),
  ]));
  return made("table", [lines(rows)]);
}

/** Lines of a prediction: a name, a value, and whether it is a share of 1. */
function told(prediction) {
  const { probabilities, ...plain } = prediction;
  const lines = Object.entries(plain).map(([name, value]) =>
    [name, Array.isArray(value) ? value.join(", ") || "none" : value, name === "score" && value >= 0 && value <= 1]);
  const likely = Object.entries(probabilities ?? {}).sort((one, other) => other[1] - one[1]);
  const rest = likely.length > MOST ? [[`and ${likely.length - MOST} more`, "", false]] : [];
  return lines.concat(likely.slice(0, MOST).map(([name, share]) => [`p(${name})`, share, true]), rest);
}

at("key").addEventListener("change", look);
at("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  look();
});
at("again").addEventListener("click", look);
at("run").addEventListener("change", showTasks);
at("task").addEventListener("change", showTask);
at("verb").addEventListener("change", showVerb);
at("example").addEventListener("click", fill);
at("form").addEventListener("submit", ask);
at("row").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask(event);
});
look();
