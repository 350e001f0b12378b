// What is held down now, told 33 times a second; let go, hidden or unfocused means released.
const BEAT_MS = 30;
const TOOL = [["x", "forward, back"], ["y", "left, right"], ["z", "up, down"],
  ["rx", "roll"], ["ry", "pitch"], ["rz", "yaw"], ["grip", "gripper open, close"]];
const KEYS = { w: ["x", 1], s: ["x", -1], a: ["y", 1], d: ["y", -1], r: ["z", 1], f: ["z", -1],
  q: ["rz", 1], e: ["rz", -1] };

export class Driver {
  constructor(link, grip) {
    this.link = link;
    this.grip = grip;
    this.press = 0;
    this.held = false;
    this.kind = "twist";
    this.values = {};
    this.keys = new Set();
    this.timer = null;
    this.q = [0, 0, 0, 1];
    this.able = false;
    this.byId = (name) => document.getElementById(name);
    this.build();
    for (const event of ["blur", "pagehide"]) addEventListener(event, () => this.release());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.release(); });
    addEventListener("pointerup", () => this.release());
    addEventListener("pointercancel", () => this.release());
    addEventListener("contextmenu", () => this.release());
    addEventListener("deviceorientation", (e) => { if (e.alpha !== null) this.q = quaternion(e.alpha, e.beta, e.gamma); });
  }
  hello(message) {
    this.able = message.drives;
    const arm = message.groups.find((g) => g.kind === "arm");
    this.byId("joints-panel").replaceChildren(
      ...(arm ? arm.axes.map((a) => this.pair(a.name, a.name, "joints")) : []));
  }
  // Any way to begin is a press of its own; the server never lets one that ended drive again.
  begin(kind, values, from) {
    if (!this.able || this.held) return;
    this.held = true;
    this.from = from;
    this.kind = kind;
    this.values = values;
    this.press += 1;
    this.timer = setInterval(() => this.beat(), BEAT_MS);
    this.beat();
    this.show();
  }
  change(values) { if (this.held) { this.values = { ...this.values, ...values }; this.beat(); } }
  release() {
    this.keys.clear();
    if (!this.held) return;
    this.held = false;
    clearInterval(this.timer);
    this.beat();
    for (const on of document.querySelectorAll(".drive .on")) on.classList.remove("on");
    this.byId("dot").style.cssText = "";
    this.show();
  }
  // A control that loses the focus to the one that is pressed now does not end that press.
  leave(from) { if (this.from === from) this.release(); }
  rest() { this.link.send({ do: "drive", at: performance.now(), press: this.press, held: false }); }
  beat() {
    if (!this.held) { this.rest(); return; }
    const speed = Number(this.byId("speed").value), values = {};
    const message = { do: "drive", at: performance.now(), press: this.press, held: true, kind: this.kind, values };
    if (this.kind === "phone") Object.assign(values, this.phone());
    else {
      const names = this.kind === "twist" ? ["x", "y", "z", "rx", "ry", "rz"] : Object.keys(this.values);
      for (const name of names) if (name !== "grip") values[name] = (this.values[name] || 0) * speed;
      if (this.values.grip) message.grip = this.values.grip;
      if (this.kind === "twist") message.frame = this.byId("frame").value;
    }
    if (!this.link.send(message)) this.release();
  }
  phone() {
    const [x, y] = this.values.drag || [0, 0], [qx, qy, qz, qw] = this.q;
    return { touch: 1, x, y, z: Number(this.byId("lift").value), qx, qy, qz, qw };
  }
  show() {
    const badge = this.byId("held");
    badge.textContent = this.held ? "held: you drive" : "released";
    badge.className = this.held ? "badge human" : "badge";
  }
  build() {
    this.byId("jog-tool").append(...TOOL.filter(([n]) => n !== "grip" || this.grip).map(([n, text]) => this.pair(n, text, "twist")));
    this.pad(this.byId("pad"), (x, y) => ({ x: y, y: -x }), "twist");
    this.pad(this.byId("touch"), (x, y) => ({ drag: [x / 2, y / 2] }), "phone");
    const pad = this.byId("pad");
    pad.addEventListener("keydown", (e) => this.key(e, true));
    pad.addEventListener("keyup", (e) => this.key(e, false));
    pad.addEventListener("blur", () => this.leave(pad));
    for (const radio of document.querySelectorAll("input[name=kind]")) {
      radio.addEventListener("change", () => this.choose(radio.value));
    }
  }
  choose(kind) {
    this.release();
    for (const one of ["tool", "joints", "phone"]) this.byId(`${one}-panel`).hidden = one !== kind;
    const ask = window.DeviceOrientationEvent && DeviceOrientationEvent.requestPermission;
    if (kind === "phone" && ask) ask.call(DeviceOrientationEvent).catch(() => {});
    this.byId("phone-why").textContent = window.isSecureContext ? "" : "browsers tell the orientation over TLS only";
  }
  pair(name, text, kind) {
    const row = document.createElement("div"), label = document.createElement("span");
    label.textContent = text;
    row.append(this.jog(name, text, 1, kind), label, this.jog(name, text, -1, kind));
    return row;
  }
  jog(name, text, sign, kind) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = sign > 0 ? "+" : "\u2212";
    button.setAttribute("aria-label", `${text} ${sign > 0 ? "plus" : "minus"}, hold`);
    button.dataset.jog = `${name}${sign > 0 ? "+" : "-"}`;
    const begin = () => { this.begin(kind, { [name]: sign }, button); if (this.held) button.classList.add("on"); };
    button.addEventListener("pointerdown", (e) => { if (e.button === 0) begin(); });
    button.addEventListener("keydown", (e) => { if (e.key === "Enter") { e.preventDefault(); if (!e.repeat) begin(); } });
    button.addEventListener("keyup", (e) => { if (e.key === "Enter") this.release(); });
    button.addEventListener("blur", () => this.leave(button));
    return button;
  }
  pad(box, read, kind) {
    let origin = null;
    const place = (e) => {
      const size = box.getBoundingClientRect(), cut = (v) => Math.min(1, Math.max(-1, v));
      return [cut((e.clientX - origin[0]) / (size.width / 2)), cut((origin[1] - e.clientY) / (size.height / 2))];
    };
    box.addEventListener("pointerdown", (e) => {
      if (e.button !== 0) return;
      origin = [e.clientX, e.clientY];
      box.setPointerCapture(e.pointerId);
      this.begin(kind, read(0, 0), box);
      if (this.held) box.classList.add("on");
    });
    box.addEventListener("pointermove", (e) => {
      if (!this.held || !origin) return;
      const [x, y] = place(e), dot = box.querySelector("span");
      this.values = { ...this.values, ...read(x, y) };
      if (dot) dot.style.cssText = `left:${50 + 45 * x}%;top:${50 - 45 * y}%`;
    });
    box.addEventListener("lostpointercapture", () => { origin = null; this.release(); });
  }
  key(event, down) {
    const known = KEYS[event.key.toLowerCase()];
    if (!known || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.repeat) return;
    if (down) this.keys.add(event.key.toLowerCase()); else this.keys.delete(event.key.toLowerCase());
    if (!this.keys.size) { this.release(); return; }
    const values = {};
    for (const key of this.keys) values[KEYS[key][0]] = KEYS[key][1];
    if (!this.held) this.begin("twist", values, event.currentTarget); else { this.values = values; this.beat(); }
  }
}

function quaternion(alpha, beta, gamma) {
  const [z, x, y] = [alpha, beta, gamma].map((v) => ((v || 0) * Math.PI) / 360);
  const [cx, cy, cz, sx, sy, sz] = [Math.cos(x), Math.cos(y), Math.cos(z), Math.sin(x), Math.sin(y), Math.sin(z)];
  return [sx * cy * cz - cx * sy * sz, cx * sy * cz + sx * cy * sz, cx * cy * sz + sx * sy * cz, cx * cy * cz - sx * sy * sz];
}
