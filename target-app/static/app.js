// Lists products and keeps their stock fresh over the WebSocket feed.
const list = document.querySelector(".products");

function render(product) {
  const item = document.createElement("li");
  item.className = "product";
  item.dataset.id = product.id;
  for (const [name, text] of [["name", product.name], ["price", product.price.toFixed(2)], ["stock", product.stock]]) {
    const field = document.createElement("p");
    field.className = name;
    field.textContent = text;
    item.append(field);
  }
  return item;
}

async function start() {
  const response = await fetch("/api/products");
  if (!response.ok) {
    list.textContent = (await response.json()).detail;
    return;
  }
  const { items } = await response.json();
  list.replaceChildren(...items.map(render));
  const socket = new WebSocket(`ws://${location.host}/ws`);
  socket.onopen = () => {
    for (const { id } of items) {
      socket.send(JSON.stringify({ type: "subscribe", channel: "stock", id: String(id) }));
    }
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "tick") {
      list.querySelector(`[data-id="${message.id}"]`)?.setAttribute("data-seq", message.seq);
    }
  };
}

start();
