// A room: what was said, who is here, and who is typing.
import { allIsWell, element, enter, face, nameTag, report, subscribe } from "../shared/page.js";
import { attend, follow, nameOf } from "../shared/tollgate.js";

const $ = (id) => document.getElementById(id);
const room = new URLSearchParams(location.search).get("room") ?? "lobby";
const { me, client } = await enter();
$("room").textContent = `# ${room}`;

// ---- what was said

const chat = client.newSubscription(`chat:${room}`, { joinLeave: true });

follow(chat, {
  limit: 100,
  begin: () => $("messages").replaceChildren(),
  show: ({ data, info }) => {
    if (!info) return add(element("li", { className: "note", textContent: data.text })); // said over HTTP, by no window
    const isMine = info.user === me.id;
    const time = new Date(data.at);
    const line = element(
      "li",
      { className: isMine ? "message mine" : "message" },
      face(info.user),
      element("p", { textContent: data.text }),
      element("time", { dateTime: data.at, textContent: time.toLocaleTimeString([], { timeStyle: "short" }) }),
    );
    line.dataset.user = info.user;
    line.classList.toggle("goes-on", $("messages").lastElementChild?.dataset.user === info.user);
    add(line);
    stopTyping(info.user);
  },
});

function add(line) {
  const log = $("log");
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  $("messages").append(line);
  // Who reads what was said before is left there.
  if (isAtEnd || line.dataset.user === me.id) log.scrollTop = log.scrollHeight;
}

const composer = $("composer");

composer.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { text } = composer.elements;
  const said = text.value.trim();
  if (!said) return;
  text.value = "";
  tellTyping(false);
  try {
    // It is shown when it comes back, as it does to everyone.
    await chat.publish({ text: said, at: new Date().toISOString() });
    allIsWell();
  } catch (error) {
    text.value ||= said;
    report(error);
  }
});

// ---- who is here

attend(chat, (here, { came, went }) => {
  const users = [...new Set(here.values())];
  $("people").replaceChildren(...users.map((user) => element("li", {}, face(user))));
  const one = came || went;
  if (one && one !== me.id) add(element("li", { className: "note" }, nameTag(one), came ? " joined" : " left"));
  if (went) stopTyping(went);
});

// ---- who is typing, in a channel that keeps nothing

const TELL_EVERY = 2_000; // ms
const typing = client.newSubscription(`typing:${room}`);
const typers = new Map(); // user -> the timer that ends it, should no more be heard
let told = 0;

typing.on("publication", ({ data, info }) => {
  if (!info || info.user === me.id) return; // over HTTP one is nobody
  stopTyping(info.user);
  if (data.typing) typers.set(info.user, setTimeout(() => stopTyping(info.user), 2 * TELL_EVERY));
  drawTyping();
});

composer.elements.text.addEventListener("input", ({ target }) => {
  if (!target.value) tellTyping(false);
  else if (Date.now() - told > TELL_EVERY) tellTyping(true);
});

function tellTyping(isTyping) {
  told = isTyping ? Date.now() : 0;
  typing.publish({ typing: isTyping }).catch(() => {}); // nobody minds if that is lost
}

function stopTyping(user) {
  clearTimeout(typers.get(user));
  if (typers.delete(user)) drawTyping();
}

async function drawTyping() {
  const names = await Promise.all([...typers.keys()].map(nameOf));
  $("typing").textContent = names.length ? `${names.join(", ")} ${names.length > 1 ? "are" : "is"} typing …` : "";
}

subscribe(chat);
subscribe(typing);
