// Pictures of one place, side by side or one wiped over the other. Zoom, pan and cursor are shared by all of them.

const LARGEST_ZOOM = 64; // screen pixels that one picture pixel may cover, about
const NARROWEST = 160; // screen pixels
const viewers = new WeakMap();

export default function ({ data, parentElement }) {
  let viewer = viewers.get(parentElement);
  if (!viewer) viewers.set(parentElement, (viewer = new Viewer(parentElement)));
  viewer.show(data);
  return () => viewer.rest();
}

class Viewer {
  constructor(root) {
    this.box = root.querySelector(".viewer");
    this.panes = root.querySelector(".panes");
    this.reading = root.querySelector(".reading");
    this.slider = root.querySelector(".wipe");
    this.observer = new ResizeObserver(() => this.draw());
    this.cursor = null; // picture pixel under the pointer
    this.loading = 0;
    for (const button of root.querySelectorAll("button")) button.onclick = () => this.command(button.value);
    this.slider.oninput = () => this.draw();
    this.box.onkeydown = (event) => {
      const command = { "+": "in", "=": "in", "-": "out", 0: "fit" }[event.key] ?? event.key;
      if (event.target !== this.slider && this.command(command)) event.preventDefault();
    };
  }

  async show(data) {
    const turn = ++this.loading;
    const sources = [...data.panes, ...data.readings].map((part) => part.source);
    const decoded = await Promise.all(sources.map((source) => this.decoded?.get(source) ?? decode(source)));
    if (turn !== this.loading) return; // newer data came while these were decoded
    const before = this.data;
    this.data = data;
    this.decoded = new Map(sources.map((source, i) => [source, decoded[i]])); // most stay when one picture changes
    this.pictures = decoded.slice(0, data.panes.length);
    this.readings = data.readings.map((part, i) => ({ ...part, ...values(decoded[data.panes.length + i]) }));
    if (before?.subject !== data.subject) this.command("fit");
    this.build();
    this.observer.observe(this.panes);
    this.draw();
    this.box.dataset.state = "shown";
  }

  rest() {
    this.observer.disconnect();
  }

  // One canvas a picture; a single one for two pictures where one is wiped over the other.
  build() {
    const { panes, wipe } = this.data;
    const titles = wipe ? [panes.map((pane) => pane.title).join(" | ")] : panes.map((pane) => pane.title);
    this.slider.hidden = !wipe;
    while (this.panes.children.length > titles.length) this.panes.lastChild.remove();
    while (this.panes.children.length < titles.length) {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      canvas.role = "img";
      figure.append(canvas, document.createElement("figcaption"));
      this.panes.append(figure);
      this.listen(canvas);
    }
    titles.forEach((title, i) => {
      this.panes.children[i].firstChild.ariaLabel = `${this.data.name}: ${title}`;
      this.panes.children[i].lastChild.textContent = title;
    });
  }

  command(name) {
    const step = 60 / this.scale();
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (name === "fit") {
      const { width, height } = this.data;
      Object.assign(this, { zoom: 1, x: width / 2, y: height / 2 });
    } else if (name === "in" || name === "out") this.zoomAbout(this.x, this.y, name === "in" ? 1.5 : 1 / 1.5);
    else if (name in moves) this.move(...moves[name]);
    else return false;
    this.draw();
    return true;
  }

  // Screen pixels a picture pixel, as large as the picture fits into a canvas at zoom 1.
  scale() {
    const canvas = this.panes.querySelector("canvas");
    if (!canvas) return 1;
    const fit = Math.min(canvas.clientWidth / this.data.width, canvas.clientHeight / this.data.height);
    return (fit || 1) * this.zoom;
  }

  zoomAbout(x, y, factor) {
    const before = this.scale();
    const zoom = Math.max(1, this.zoom * factor);
    this.zoom = factor > 1 && before * factor > LARGEST_ZOOM ? this.zoom : zoom;
    const ratio = before / this.scale();
    this.move((x - this.x) * (1 - ratio), (y - this.y) * (1 - ratio));
  }

  move(right, down) {
    this.x = Math.min(Math.max(this.x + right, 0), this.data.width);
    this.y = Math.min(Math.max(this.y + down, 0), this.data.height);
    if (this.zoom === 1) Object.assign(this, { x: this.data.width / 2, y: this.data.height / 2 });
  }

  listen(canvas) {
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      const scale = this.scale();
      return {
        x: this.x + (event.clientX - box.left - box.width / 2) / scale,
        y: this.y + (event.clientY - box.top - box.height / 2) / scale,
      };
    };
    canvas.onpointerdown = (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.drag = { x: event.clientX, y: event.clientY };
    };
    canvas.onpointermove = (event) => {
      if (this.drag) {
        this.move((this.drag.x - event.clientX) / this.scale(), (this.drag.y - event.clientY) / this.scale());
        this.drag = { x: event.clientX, y: event.clientY };
      }
      this.cursor = place(event);
      this.draw();
    };
    canvas.onpointerup = canvas.onpointercancel = () => (this.drag = null);
    canvas.onpointerleave = () => {
      this.cursor = null;
      this.draw();
    };
    canvas.ondblclick = (event) => {
      const { x, y } = place(event);
      this.zoomAbout(x, y, 2);
      this.draw();
    };
    // The wheel scrolls the page, unless the pictures were clicked first or Ctrl is held.
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !this.box.contains(this.box.getRootNode().activeElement)) return;
        event.preventDefault();
        const { x, y } = place(event);
        this.zoomAbout(x, y, Math.exp(-event.deltaY / 400));
        this.draw();
      },
      { passive: false },
    );
  }

  draw() {
    if (!this.data) return;
    const { width, height, wipe, panes } = this.data;
    const figures = [...this.panes.children];
    // As many in a row as stay large enough to read, in rows of the same length.
    const most = Math.max(1, Math.floor(this.panes.clientWidth / NARROWEST));
    const columns = Math.ceil(figures.length / Math.ceil(figures.length / most));
    this.panes.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    figures.forEach(({ firstChild: canvas }, i) => {
      const tall = Math.min((canvas.clientWidth * height) / width, Math.max(240, 0.75 * window.innerHeight));
      canvas.style.height = `${Math.round(tall)}px`;
      const ratio = window.devicePixelRatio;
      const size = [Math.round(canvas.clientWidth * ratio), Math.round(tall * ratio)];
      if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
      const context = canvas.getContext("2d");
      const scale = this.scale() * ratio;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, ...size);
      const left = size[0] / 2 - this.x * scale;
      const top = size[1] / 2 - this.y * scale;
      const paint = (place) => {
        context.imageSmoothingEnabled = panes[place].smooth && scale < 1;
        context.imageSmoothingQuality = "high";
        context.drawImage(this.pictures[place], left, top, width * scale, height * scale);
      };
      paint(i);
      if (wipe) {
        const edge = (this.slider.value / 100) * size[0];
        context.save();
        context.beginPath();
        context.rect(edge, 0, size[0] - edge, size[1]);
        context.clip();
        context.clearRect(0, 0, ...size);
        paint(1);
        context.restore();
        line(context, edge, 0, edge, size[1]);
      }
      if (this.cursor && !this.drag) {
        const [x, y] = [left + this.cursor.x * scale, top + this.cursor.y * scale];
        line(context, x - 9 * ratio, y, x + 9 * ratio, y);
        line(context, x, y - 9 * ratio, x, y + 9 * ratio);
      }
    });
    this.box.dataset.zoom = this.zoom.toFixed(2);
    this.box.dataset.centre = `${Math.round(this.x)},${Math.round(this.y)}`;
    this.read();
  }

  // Say what is under the cursor: its row and column, and what each reading holds there.
  read() {
    const [x, y] = this.cursor ? [Math.floor(this.cursor.x), Math.floor(this.cursor.y)] : [-1, -1];
    const { width, height, hint, coordinates } = this.data;
    if (x < 0 || y < 0 || x >= width || y >= height) {
      this.reading.textContent = hint;
      return;
    }
    const parts = this.readings.map(({ label, names, bytes, columns, rows }) => {
      const value = bytes[4 * (Math.floor((y * rows) / height) * columns + Math.floor((x * columns) / width))];
      return `${label}: ${names ? (names[value] ?? names[255]) : (value / 255).toFixed(2)}`;
    });
    let place = `row ${y}, column ${x}`;
    if (coordinates) {
      const [a, b, c, d, e, f] = coordinates.transform;
      const [right, down] = [this.cursor.x / width, this.cursor.y / height];
      const numbers = [a * right + b * down + c, d * right + e * down + f];
      place = `${numbers.map((number) => number.toFixed(coordinates.decimals)).join(", ")} (${coordinates.system})`;
    }
    this.reading.textContent = [place, ...parts].join(" · ");
  }
}

function line(context, fromX, fromY, toX, toY) {
  for (const [color, wide] of [
    ["rgba(0, 0, 0, .75)", 3],
    ["#fff", 1],
  ]) {
    context.beginPath();
    context.moveTo(fromX, fromY);
    context.lineTo(toX, toY);
    context.strokeStyle = color;
    context.lineWidth = wide * window.devicePixelRatio;
    context.stroke();
  }
}

async function decode(source) {
  const response = await fetch(source);
  return createImageBitmap(await response.blob(), { colorSpaceConversion: "none" });
}

function values(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const bytes = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  return { bytes, columns: bitmap.width, rows: bitmap.height };
}
