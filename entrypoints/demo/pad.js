// A square to draw in. Its value, when a line ends: the drawing as a PNG in a data URL, "" where it is empty again.
const canvas = element.querySelector("canvas"), pen = canvas.getContext("2d");
Object.assign(pen, { lineWidth: 28, lineCap: "round", lineJoin: "round" });
const tell = (value) => { props.value = value; trigger("input"); };
const to = ({ offsetX, offsetY }) => pen.lineTo(offsetX * canvas.width / canvas.clientWidth, offsetY * canvas.height / canvas.clientHeight);
const draw = (event) => { to(event); pen.stroke(); };
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  canvas.addEventListener("pointermove", draw);
  pen.beginPath();
  to(event);
  draw(event);
});
const end = () => { canvas.removeEventListener("pointermove", draw); tell(canvas.toDataURL("image/png")); };
canvas.addEventListener("pointerup", end);
canvas.addEventListener("pointercancel", end);
element.querySelector("button").addEventListener("click", () => { pen.clearRect(0, 0, canvas.width, canvas.height); tell(""); });
