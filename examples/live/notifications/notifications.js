// What servers tell one person, wherever they are signed in: the channel user:{sub}, which nobody else can subscribe to.
import { element, enter, subscribe } from "../shared/page.js";
import { follow } from "../shared/tollgate.js";

const TOAST = 5_000; // ms
const $ = (id) => document.getElementById(id);
const { me, client } = await enter();
$("command").textContent = `node notifications/notify.mjs ${me.id} "Your order was sent"`;

const mine = client.newSubscription(`user:${me.id}`);
const stored = `read ${me.id}`;
let read; // of this epoch, the offset up to which everything was read
let newest = 0;

mine.on("subscribed", ({ streamPosition: { epoch } }) => {
  const kept = JSON.parse(localStorage[stored] ?? "{}");
  read = kept.epoch === epoch ? kept : { epoch, offset: 0 };
});

follow(mine, {
  limit: 100,
  begin: () => $("list").replaceChildren(),
  show: ({ data, offset }, isNew) => {
    newest = offset;
    const line = element(
      "li",
      { className: `notification ${offset > read.offset ? "new" : ""}` },
      element("strong", { textContent: data.title }),
      element("p", { textContent: data.text ?? "" }),
      element("time", { dateTime: data.at, textContent: new Date(data.at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) }),
    );
    $("list").prepend(line);
    if (isNew) toast(data);
    count();
  },
});

$("read-all").addEventListener("click", () => {
  read.offset = newest;
  localStorage[stored] = JSON.stringify(read); // for this browser; a real app has a record for it
  document.querySelectorAll(".new").forEach((line) => line.classList.remove("new"));
  count();
});

function count() {
  const unread = document.querySelectorAll(".new").length;
  $("none").hidden = $("list").children.length > 0;
  $("unread").hidden = $("read-all").hidden = unread === 0;
  $("unread").textContent = `${unread} new`;
  document.title = unread ? `(${unread}) Notifications` : "Notifications";
}

function toast({ title, text }) {
  const shown = element("div", { className: "toast" }, element("strong", { textContent: title }), element("p", { textContent: text ?? "" }));
  $("toasts").append(shown);
  setTimeout(() => shown.remove(), TOAST);
}

count();
subscribe(mine);
