// The arm as lines, seen from a side that can be turned.
export class ArmView {
  constructor(canvas) {
    this.canvas = canvas;
    this.turn = -0.9;
    this.tilt = 0.35;
    this.state = null;
    let last = null;
    canvas.addEventListener("pointerdown", (e) => { last = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); });
    canvas.addEventListener("pointerup", () => { last = null; });
    canvas.addEventListener("pointermove", (e) => {
      if (!last) return;
      this.rotate((e.clientX - last[0]) * 0.01, (e.clientY - last[1]) * 0.01);
      last = [e.clientX, e.clientY];
    });
    const keys = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    canvas.addEventListener("keydown", (e) => { if (keys[e.key]) { this.rotate(...keys[e.key]); e.preventDefault(); } });
    addEventListener("resize", () => this.draw());
  }
  rotate(turn, tilt) {
    this.turn += turn;
    this.tilt = Math.min(1.5, Math.max(-0.2, this.tilt + tilt));
    this.draw();
  }
  show(state) { this.state = state; this.draw(); }
  draw() {
    const { canvas, state } = this, ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    }
    const paint = canvas.getContext("2d"), look = getComputedStyle(document.documentElement);
    const colour = (name) => look.getPropertyValue(name);
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.clearRect(0, 0, width, height);
    const scale = Math.min(width, height * 1.3) / 1.9;
    const [ct, st, cp, sp] = [Math.cos(this.turn), Math.sin(this.turn), Math.cos(this.tilt), Math.sin(this.tilt)];
    const at = ([x, y, z]) => {
      const side = ct * (x - 0.25) - st * y, deep = st * (x - 0.25) + ct * y;
      return [width / 2 + side * scale, height * 0.82 - (z * cp + deep * sp) * scale];
    };
    const line = (points, ink, thick, dots) => {
      paint.strokeStyle = paint.fillStyle = ink; paint.lineWidth = thick;
      paint.lineJoin = paint.lineCap = "round";
      paint.beginPath();
      points.forEach((p, k) => paint[k ? "lineTo" : "moveTo"](...at(p)));
      paint.stroke();
      if (dots) for (const p of points) { paint.beginPath(); paint.arc(...at(p), thick * 0.85, 0, 7); paint.fill(); }
    };
    for (let k = -4; k <= 4; k++) {
      line([[k / 5 + 0.2, -0.8, 0], [k / 5 + 0.2, 0.8, 0]], colour("--line"), 1);
      line([[-0.6, k / 5, 0], [1.0, k / 5, 0]], colour("--line"), 1);
    }
    if (!state) return;
    for (const points of Object.values(state.arms)) line(points, colour("--ink"), 6, true);
    for (const points of Object.values(state.ways)) line(points, colour("--green"), 2.5);
    for (const points of Object.values(state.plan)) line(points, colour("--blue"), 2.5, true);
  }
}
