// One socket a camera; a picture is asked for when the one before it is shown.
export function openCamera(name, box) {
  const figure = document.createElement("figure");
  const canvas = document.createElement("canvas");
  const caption = document.createElement("figcaption");
  canvas.width = 320; canvas.height = 240;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `camera ${name}`);
  caption.textContent = `${name}: waits for a picture`;
  figure.append(canvas, caption);
  box.append(figure);
  const paint = canvas.getContext("2d");
  const times = [];
  let socket = null;
  const connect = () => {
    if (document.hidden || socket) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const mine = (socket = new WebSocket(`${scheme}://${location.host}/cameras/${encodeURIComponent(name)}`));
    mine.binaryType = "blob";
    mine.onmessage = async (event) => {
      try {
        const picture = await createImageBitmap(event.data);
        if (canvas.width !== picture.width) { canvas.width = picture.width; canvas.height = picture.height; }
        paint.drawImage(picture, 0, 0);
        picture.close();
        times.push(performance.now());
        if (times.length > 20) times.shift();
        canvas.dataset.shown = String(Number(canvas.dataset.shown || 0) + 1);
      } catch { caption.textContent = `${name}: a picture cannot be read`; }
      requestAnimationFrame(() => { if (mine.readyState === WebSocket.OPEN) mine.send("shown"); });
    };
    mine.onclose = () => { if (socket === mine) socket = null; setTimeout(connect, 1500); };
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && socket) socket.close(); else connect();
  });
  setInterval(() => {
    const now = performance.now();
    const recent = times.filter((t) => now - t < 2000);
    if (recent.length > 1) {
      const hz = ((recent.length - 1) * 1000) / (recent[recent.length - 1] - recent[0]);
      caption.textContent = `${name}: ${hz.toFixed(1)} pictures a second`;
    } else if (times.length) caption.textContent = `${name}: no new picture`;
  }, 1000);
  connect();
}
