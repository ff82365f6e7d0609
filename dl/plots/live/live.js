"use strict";
// Draws each <figure class="live">: plotly's figure, which lies in it as JSON, in place of the PNG that paper, a browser
// without WebGL and one without scripts keep. layout.meta says what plotly has no word for (dl/plots/live/__init__.py).
// Everything that the mouse can do is there for the keyboard: sliders, boxes and lists are HTML's own.
(() => {
  const fill = (element, attributes, children) => {
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, []);

  let loading;
  const load = () => loading ??= (async () => {
    const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const script = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    document.head.append(Object.assign(document.createElement("script"), { textContent: await new Response(script).text() }));
  })();

  const three = ({ data }) => data.some(({ type }) => ["surface", "scatter3d", "parcoords"].includes(type));
  const webgl = () => document.createElement("canvas").getContext("webgl") !== null;

  const wrapped = (title, width) => {
    const lines = [""];
    for (const word of title.split(" ")) {
      if ((lines.at(-1) + word).length > width / 7) lines.push("");
      lines[lines.length - 1] += (lines.at(-1) && " ") + word;
    }
    return lines.join("<br>");
  };

  // As many panels side by side as find room, each at least 360 pixels wide, under their titles.
  const place = ({ data, layout, meta, titled }, width) => {
    const { panels, columns = 1, left = 64 } = meta;
    const margin = { l: left, r: 18, t: panels[0].title || !panels[0].axes.length ? 48 : 12, b: meta.bottom ?? (panels.at(-1).axes[1] ? 52 : 8) }, gap = { x: left + 14, y: 58 + (meta.bottom ?? 52) };
    const across = Math.max(1, Math.min(columns, Math.floor(width / 360)));
    const down = Math.ceil(panels.length / across);
    const wide = (width - margin.l - margin.r - gap.x * (across - 1)) / across;
    const size = Math.min(0.84, (wide - 40) / 500);  // of a cube in space: a large one leaves no room for the titles of its axes
    const height = Math.min(meta.height ?? 380, Math.max(panels[0].axes.length ? 240 : 380, wide));
    const inner = { x: width - margin.l - margin.r, y: down * height + (down - 1) * gap.y };
    if (data[0].type === "parcoords") Object.assign(margin, { t: width < 700 ? 72 : 48 }), (data[0].labelangle = width < 700 ? -25 : 0);
    Object.assign(layout, { width, height: inner.y + margin.t + margin.b, margin, annotations: [...titled] });
    panels.forEach(({ title, axes }, i) => {
      const x = (i % across) * (wide + gap.x), y = Math.floor(i / across) * (height + gap.y);
      const domain = { x: [x / inner.x, (x + wide) / inner.x], y: [1 - (y + height) / inner.y, 1 - y / inner.y] };
      for (const name of axes) {
        const axis = layout[name] ??= {};
        if (name.startsWith("scene")) {
          Object.assign(axis, { domain, aspectmode: "manual", aspectratio: { x: size, y: size, z: size } });
          for (const key of ["xaxis", "yaxis", "zaxis"]) Object.assign(axis[key], { nticks: wide < 480 ? 4 : 0, tickfont: { size: 7 + 5 * size } }).title.font = { size: 6 + 6 * size };
        } else axis.domain = domain[name[0]];
      }
      layout.annotations.push({
        text: wrapped(title, wide), x: (domain.x[0] + domain.x[1]) / 2, y: domain.y[1], xref: "paper", yref: "paper",
        xanchor: "center", yanchor: "bottom", yshift: 6, showarrow: false, font: { size: 14 },
      });
    });
  };

  // A box a network (or whatever the legend names) that switches all its traces.
  const switches = (data, redraw) => {
    const groups = Map.groupBy(data.filter(({ legendgroup }) => legendgroup), ({ legendgroup }) => legendgroup);
    if (groups.size < 2) return [];
    const box = make("fieldset", { class: "switches" }, make("legend", {}, "Show"));
    for (const [name, traces] of groups) {
      const input = make("input", { type: "checkbox", checked: "" });
      const { line = {}, marker = {}, mode } = traces[0], colour = line.color ?? marker.color;
      const dashes = { dash: "7 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "11 3" }[line.dash] ?? "none";
      const swatch = svg("svg", { width: 34, height: 12, "aria-hidden": "true" });
      if (mode !== "markers") swatch.append(svg("path", { d: "M0 6H34", stroke: colour, "stroke-width": 3, "stroke-dasharray": dashes }));
      if (mode !== "lines") swatch.append(svg("circle", { cx: 17, cy: 6, r: 4, fill: colour }));
      input.addEventListener("change", () => {
        for (const trace of traces) trace.visible = input.checked;
        redraw();
      });
      box.append(make("label", {}, input, swatch, name));
    }
    return [box];
  };

  // A slider each of meta.sliders; together they name the frames to be laid over the figure: "2", then "2/17".
  const sliders = ({ data, layout, frames, meta }, redraw) => {
    const inputs = (meta.sliders ?? []).map(({ values, start = 0 }) =>
      make("input", { type: "range", min: 0, max: values.length - 1, value: start }));
    const outputs = inputs.map(() => make("output"));
    const named = new Map(frames.map((frame) => [frame.name, frame]));
    const show = () => {
      inputs.forEach(({ value }, i) => {
        const text = meta.sliders[i].values[value];
        outputs[i].textContent = text;
        inputs[i].setAttribute("aria-valuetext", text);
      });
      inputs.forEach((_, i) => {
        const frame = named.get(inputs.slice(0, i + 1).map(({ value }) => value).join("/"));
        frame?.traces.forEach((trace, n) => Object.assign(data[trace], frame.data[n]));
        for (const [key, value] of Object.entries(frame?.layout ?? {})) Object.assign(layout[key] ??= {}, value);
      });
      redraw();
    };
    for (const input of inputs) input.addEventListener("input", show);
    const rows = inputs.map((input, i) => make("label", { class: "slider" }, meta.sliders[i].label, input, outputs[i]));
    return { rows, show };
  };

  // Lists that do what brushing an axis of parallel coordinates does, and a line that says what is left.
  const brushes = (data, redraw) => {
    const trace = data.find(({ type }) => type === "parcoords");
    if (!trace) return { rows: [], tell: () => {} };
    const box = make("fieldset", { class: "switches" }, make("legend", {}, "Keep only"));
    const told = make("p", { role: "status", class: "told" });
    const ranges = ({ constraintrange: range }) => range?.length ? (Array.isArray(range[0]) ? range : [range]) : null;
    const tell = (drawn = trace) => {
      const within = ({ values }, axis, i) => (ranges(axis) ?? [[-Infinity, Infinity]]).some(([a, b]) => a <= values[i] && values[i] <= b);
      const rows = trace.customdata.flatMap((text, i) =>
        text && trace.dimensions.every((axis, n) => within(axis, drawn.dimensions[n], i)) ? [i] : []);
      const order = trace.dimensions.at(-1).values;
      const best = rows.reduce((a, b) => (order[b] < order[a] ? b : a), rows[0]);
      told.textContent = `${rows.length} of ${trace.customdata.filter((text) => text).length}`
        + (rows.length ? `; lowest loss: ${trace.customdata[best]}` : "");
    };
    trace.dimensions.forEach((axis, n) => {
      const most = axis.name === "at most";
      const list = make("select", {}, make("option", { value: "" }, "all"));
      axis.tickvals.forEach((value, i) => list.append(make("option", { value }, (most ? "at most " : "") + axis.ticktext[i])));
      list.addEventListener("change", () => {
        const value = Number(list.value);
        axis.constraintrange = list.value ? [most ? -99 : value - 0.3, most ? value : value + 0.3] : undefined;
        redraw();
        tell();
      });
      box.append(make("label", {}, axis.label.replaceAll("<br>", " "), list));
    });
    tell();
    return { rows: [box, told], tell };
  };

  // Arrow keys turn what has three dimensions, and go from point to point of what has two.
  const keys = (plot, figure, tell) => {
    let at = [0, 0];
    const turn = (step, lift) => {
      for (const name of Object.keys(figure.layout).filter((key) => key.startsWith("scene"))) {
        const eye = { ...{ x: 1.25, y: 1.25, z: 1.25 }, ...plot.layout[name].camera?.eye };
        const angle = Math.atan2(eye.y, eye.x) + step, radius = Math.hypot(eye.x, eye.y);
        const camera = { ...plot.layout[name].camera, eye: { x: radius * Math.cos(angle), y: radius * Math.sin(angle), z: eye.z + lift } };
        Plotly.relayout(plot, { [`${name}.camera`]: camera });
      }
    };
    const walk = (curve, point) => {
      const open = figure.data.flatMap(({ x, hoverinfo, visible }, i) => (x && hoverinfo !== "skip" && visible !== false ? [i] : []));
      if (!open.length) return;
      at[0] = Math.min(Math.max(at[0] + curve, 0), open.length - 1);
      at[1] = Math.min(Math.max(at[1] + point, 0), figure.data[open[at[0]]].x.length - 1);
      const { xaxis = "x", yaxis = "y" } = figure.data[open[at[0]]];
      Plotly.Fx.hover(plot, [{ curveNumber: open[at[0]], pointNumber: at[1] }], [xaxis + yaxis]);
      setTimeout(() => plot._hoverdata?.length && tell(plot._hoverdata), 60);  // plotly tells of the mouse only, and hovers each 50 ms
    };
    plot.addEventListener("keydown", (event) => {
      const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
      if ((!x && !y) || event.target !== plot) return;
      event.preventDefault();
      if (figure.layout.scene) turn(x / 8, y / 8);
      else walk(-y, x);
    });
  };

  const draw = async (holder) => {
    const figure = JSON.parse(holder.querySelector("script").textContent);
    const { data, layout } = figure;
    const meta = figure.meta = layout.meta;
    if (three(figure) && !webgl()) {
      holder.classList.add("no-webgl");
      return;
    }
    await load();
    figure.titled = layout.annotations ?? [];
    figure.frames ??= [];
    const help = layout.scene ? "Hover; drag or arrow keys: turn." : data[0].type === "parcoords" ? "Drag along an axis: brush." : "Hover, or go from point to point with the arrow keys.";
    const plot = make("div", { class: "plot", tabindex: 0, role: "group", "aria-label": `${meta.alt} ${help}` });
    const peek = make("img", { class: "peek", alt: "", hidden: "" });
    const said = make("p", { class: "said", "aria-live": "polite" }, help);
    const title = make("p", { class: "title" }, layout.title?.text ?? "");
    delete layout.title;
    Object.assign(layout, { showlegend: false, uirevision: 1, hovermode: "closest", font: { family: "system-ui, sans-serif", size: 12, color: "#1b1f24" } });
    const redraw = () => window.Plotly && Plotly.react(plot, data, layout, { displaylogo: false, displayModeBar: false });
    const slides = sliders(figure, redraw), brush = brushes(data, redraw);
    const before = holder.querySelector("img");
    const box = make("div", { class: "drawn" }, title, ...switches(data, redraw), ...slides.rows, ...brush.rows, make("div", { class: "stage" }, plot, peek), said);
    holder.insertBefore(box, before);
    place(figure, plot.clientWidth);
    slides.show();
    const tell = ([point]) => {
      const image = point.data.meta === "images" && layout.images[point.pointNumber];
      peek.hidden = !image;
      if (image && point.bbox) {
        peek.src = image.source;
        const { x0, x1, y0, y1 } = point.bbox, below = y1 + 146 < plot.clientHeight;
        Object.assign(peek.style, { left: `${Math.min(Math.max((x0 + x1) / 2 - 64, 0), plot.clientWidth - 136)}px`, top: `${below ? y1 + 6 : y0 - 140}px` });
      }
      requestAnimationFrame(() => {
        const lines = [...plot.querySelectorAll(".hovertext text")].map((text) => [...text.querySelectorAll(".line")].map((line) => line.textContent).join("; ") || text.textContent);
        if (lines.length) said.textContent = lines.filter((line) => line).join(": ");
      });
    };
    plot.on("plotly_hover", ({ points }) => tell(points));
    plot.on("plotly_unhover", () => (peek.hidden = true));
    plot.on("plotly_restyle", () => brush.tell(plot._fullData[0]));
    keys(plot, figure, tell);
    let width = plot.clientWidth;
    new ResizeObserver(() => {
      if (Math.abs(plot.clientWidth - width) < 2 || !plot.clientWidth) return;
      width = plot.clientWidth;
      place(figure, width);
      redraw();
    }).observe(plot.parentElement);
    holder.classList.add("alive");
  };

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      draw(target).catch((error) => { target.classList.remove("alive"); console.warn("the PNG stays:", error); });
    }
  }, { rootMargin: "300px" });
  for (const holder of document.querySelectorAll("figure.live")) seen.observe(holder);
})();
