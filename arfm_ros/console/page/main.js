import { ArmView } from "/arm.js";
import { openCamera } from "/cameras.js";
import { Driver } from "/drive.js";
import { Link } from "/link.js";
import { element, showQuestion, showState } from "/show.js";

const byId = (name) => document.getElementById(name);
const WORDS = ["stop", "pause", "resume", "home", "open", "close", "a bit to the left", "a bit to the right", "a bit up", "a bit down"];
const NAMES = { estop: "e-stop", release_estop: "release e-stop", give_back: "give back", takeover: "take over" };
let me = 0, holder = 0, ready = {}, driver = null, built = false;
const arm = new ArmView(byId("arm"));

function say(text, good) {
  byId("said").textContent = text;
  byId("said").className = good ? "said" : "said bad";
}
function ask(what, more = {}) {
  if (!link.send({ do: what, ...more })) say("no connection: nothing was sent", false);
}
function stop() {
  ask("estop");
  if (driver) driver.release();
}
const link = new Link((message) => {
  if (message.is === "hello") hello(message);
  else if (message.is === "controls") controls(message);
  else if (message.is === "state") {
    ready = message.ready;
    showState(message);
    showQuestion(message.question, (id, text) => ask("answer", { id, text }));
    arm.show(message);
    driveNote(message.drive);
    answered(message.answered);
    enable();
  } else if (message.is === "refused") say(`refused: ${message.why}`, false);
  else if (message.is === "done") say(`${NAMES[message.what] || message.what}: ${message.ok ? message.text || "done" : `refused, ${message.text}`}`, message.ok);
}, (open) => {
  document.body.classList.toggle("lost", !open);
  if (driver) driver.release();
  if (!open) {
    holder = me = 0;
    byId("authority").textContent = "no connection";
    byId("authority").className = "badge error";
    say("connection lost: the deadman is released; take the controls again when it is back", false);
    enable();
  } else say("", true);
});

let answeredLast = "";
function answered(text) {
  if (text === answeredLast) return;
  answeredLast = text;
  try {
    const told = JSON.parse(text);
    say(`"${told.said}" (${told.as}): ${told.refused ? `refused, ${told.refused}` : "done"}`, !told.refused);
  } catch { /* an answer that is no JSON says nothing */ }
}

function hello(message) {
  me = message.you;
  byId("robot").textContent = message.robot;
  document.title = `${message.robot}: console`;
  if (!built) {
    built = true;
    for (const name of message.cameras) openCamera(name, byId("cameras"));
    if (!message.cameras.length) byId("cameras").textContent = "this robot has no cameras";
    driver = new Driver(link, message.groups.some((g) => g.kind === "gripper"));
  }
  driver.hello(message);
}
function controls(message) {
  const before = holder;
  holder = message.holder;
  byId("holder").textContent = !holder ? "nobody holds the controls" : holder === me
    ? "you hold the controls" : `operator ${holder} holds the controls, you watch`;
  byId("take").textContent = holder && holder === me ? "Lay down controls" : "Take controls";
  byId("take").setAttribute("aria-pressed", String(holder > 0 && holder === me));
  if (driver && holder !== me) driver.release();
  if (driver && holder === me && before !== me) driver.rest();
  if (message.why) say(message.why, true);
  enable();
}
function enable() {
  const mine = link.open && holder > 0 && holder === me;
  for (const one of document.querySelectorAll("[data-ask]")) one.disabled = !mine || ready[one.dataset.ask] === false;
  for (const one of document.querySelectorAll("[data-needs]")) one.disabled = !mine || ready[one.dataset.needs] === false;
  const drives = mine && driver !== null && driver.able;
  for (const one of document.querySelectorAll("[data-jog]")) one.disabled = !drives;
  byId("estop").disabled = !link.open;
  byId("take").disabled = !link.open;
}
function driveNote(note) {
  byId("drive-why").textContent = driver && !driver.able
    ? "this page does not drive: another device does, or none was asked for (--teleop console)"
    : holder !== me ? "take the controls to drive" : note.note || "hold a button or drag: letting go stops";
}

byId("take").addEventListener("click", () => ask(holder === me ? "leave" : "take"));
byId("estop").addEventListener("pointerdown", (e) => { if (e.button === 0) stop(); });
byId("estop").addEventListener("click", (e) => { if (e.detail === 0) stop(); });
addEventListener("keydown", (e) => {
  const typing = e.target.matches("input:not([type=radio]):not([type=range]), select, textarea");
  const space = e.key === " " && !typing && !e.target.matches("button, input, select, a");
  if (e.key === "Escape" || space) { e.preventDefault(); if (!e.repeat) stop(); }
}, true);
for (const one of document.querySelectorAll("[data-ask]")) one.addEventListener("click", () => ask(one.dataset.ask));
for (const word of WORDS) {
  const button = element("button", word);
  button.type = "button";
  button.dataset.needs = "word";
  button.addEventListener("click", () => ask("word", { text: word }));
  byId("words").append(button);
}
byId("mode").addEventListener("change", (e) => { if (e.target.value) ask("request", { text: `mode=${e.target.value}` }); e.target.value = ""; });
function form(id, box, what, more = () => ({})) {
  byId(id).addEventListener("submit", (e) => {
    e.preventDefault();
    const text = byId(box).value.trim();
    if (text) { ask(what, { text, ...more() }); byId(box).value = ""; }
  });
}
form("instruct", "instruction", "instruction");
form("correct", "word", "word");
form("reply", "answer", "answer", () => ({ id: byId("question").dataset.id }));
enable();
