// A square to draw in. Its value, when a line ends: the drawing as a PNG in a data URL, "" where it is empty again.
// By keyboard: arrow keys move the pen, Space puts it down, and lifts it, which ends the line.
const canvas = element.querySelector("canvas"), pen = canvas.getContext("2d"), tip = element.querySelector("i");
Object.assign(pen, { lineWidth: 28, lineCap: "round", lineJoin: "round" });
const tell = (value) => { props.value = value; trigger("input"); };
const begin = (x, y) => { pen.beginPath(); pen.moveTo(x, y); to(x, y); };
const to = (x, y) => { pen.lineTo(x, y); pen.stroke(); };
const end = () => tell(canvas.toDataURL("image/png"));

const place = ({ offsetX, offsetY }) => [offsetX * canvas.width / canvas.clientWidth, offsetY * canvas.height / canvas.clientHeight];
const drag = (event) => to(...place(event));
const drop = () => { canvas.removeEventListener("pointermove", drag); end(); };
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  canvas.addEventListener("pointermove", drag);
  begin(...place(event));
});
canvas.addEventListener("pointerup", drop);
canvas.addEventListener("pointercancel", drop);

const at = [140, 50];
const touch = (down) => {
  if (down === tip.classList.contains("down")) return;
  tip.classList.toggle("down", down);
  down ? begin(...at) : end();
};
canvas.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] }[event.key];
  if (!step && event.key !== " ") return;
  event.preventDefault();
  if (!step) return event.repeat || touch(!tip.classList.contains("down"));
  step.forEach((by, i) => { at[i] = Math.min(Math.max(at[i] + by, 14), 266); });
  Object.assign(tip.style, { left: `${at[0] / 2.8}%`, top: `${at[1] / 2.8}%` });
  if (tip.classList.contains("down")) to(...at);
});
canvas.addEventListener("blur", () => touch(false));
element.querySelector("button").addEventListener("click", () => { pen.clearRect(0, 0, canvas.width, canvas.height); tell(""); });
