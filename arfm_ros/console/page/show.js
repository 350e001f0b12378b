// States as tables and words; text goes in as text, never as markup.
const byId = (name) => document.getElementById(name);

export function element(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
function fill(table, lines) {
  byId(table).tBodies[0].replaceChildren(...lines.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((cell) => (cell instanceof Node ? cell : element("td", cell))));
    return row;
  }));
}
const short = (text) => (text === "" || isNaN(text) ? String(text) : String(Number(Number(text).toPrecision(4))));

export function showState(state) {
  const badge = byId("authority");
  badge.textContent = state.authority || "no arbiter";
  badge.className = `badge ${state.authority || "error"}`;
  byId("reason").textContent = state.reason;
  byId("now").textContent = state.instruction || "–";
  fill("owners", state.owners.map((o) => {
    const who = element("td", "");
    who.append(element("span", o.owner || "nobody", `badge ${o.owner}`));
    const more = [o.mode && `mode ${o.mode}`, o.weight && `person's weight ${short(o.weight)}`].filter(Boolean).join(", ");
    return [element("th", o.group), who, more];
  }));
  showTrouble(state.trouble);
  showHealth(state);
  const r = state.recorder, on = r.recording === "true";
  byId("recorder").textContent = !("recording" in r) ? "no recorder" : on
    ? `records: ${[r.folder && r.folder.split("/").pop(), r.messages && `${r.messages} messages`].filter(Boolean).join(", ")}`
    : "does not record";
}
let troubleShown = "";
function showTrouble(trouble) {
  const key = JSON.stringify(trouble.map((t) => [t.node, t.plain]));
  if (key === troubleShown) return;
  troubleShown = key;
  byId("trouble").replaceChildren(...trouble.map((t) => {
    const box = element("div", "", t.level);
    const first = element("p", "");
    first.append(element("b", t.plain), ` ${t.todo}`);
    box.append(first, element("p", `${t.node}: ${t.reason}`, "hint"));
    return box;
  }));
}
function showHealth(state) {
  fill("nodes", state.nodes.map((n) => {
    const cell = element("td", "");
    cell.append(element("b", n.level, n.level), ` ${n.message}`);
    return [n.name, cell];
  }));
  const short_ = (n) => n.replace(/^.*\//, "").replace(/_node$/, "");
  fill("stages", state.nodes.flatMap((n) => Object.entries(n.stages)
    .map(([stage, q]) => [`${short_(n.name)} ${stage.replaceAll("_", " ")}`, ...q.map(short)])));
  const rates = Object.entries(state.cameras_hz).map(([name, hz]) => [`camera ${name} Hz`, short(hz)]);
  const limits = Object.entries(state.limits).map(([name, n]) => [name === "speed" ? "speed limit in use, part of full" : `limit ${name}`, short(n)]);
  const counts = state.nodes.flatMap((n) => Object.entries(n.counts)
    .map(([name, v]) => [`${short_(n.name)} ${name.replaceAll("_", " ")}`, short(v)]));
  fill("counts", [["chunks Hz", short(state.chunks_hz)], ...rates, ...limits, ...counts]);
}
let questionShown = "";
export function showQuestion(question, answer) {
  const box = byId("question"), key = JSON.stringify(question);
  if (key === questionShown) return;
  questionShown = key;
  box.hidden = !question;
  if (!question) return;
  box.dataset.id = question.id;
  byId("asked").textContent = question.text;
  byId("options").replaceChildren(...question.options.map((option) => {
    const button = element("button", option);
    button.type = "button";
    button.addEventListener("click", () => answer(question.id, option));
    return button;
  }));
  byId("reply").hidden = question.options.length > 0;
  byId("default").textContent = question.default
    ? `without an answer${question.seconds ? ` within ${question.seconds} s` : ""}: ${question.default}` : "";
}
