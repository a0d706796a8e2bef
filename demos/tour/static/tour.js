// What the pages cannot do without a script: many requests at once, and the trips that came after the page was made.

const token = (form) => form.elements._xsrf.value;

async function post(path, form, fields = {}) {
  return fetch(path, { method: "POST", body: new URLSearchParams({ _xsrf: token(form), ...fields }) });
}

// -- the inspector: the commit comes after the page was made, and is told in the header Server-Timing

function showLateTrips() {
  const table = document.getElementById("trips");
  const [navigation] = performance.getEntriesByType("navigation");
  if (!table || !navigation || !navigation.serverTiming) return;
  const late = navigation.serverTiming.slice(Number(table.dataset.shown));
  if (!late.length) return;
  const body = table.tBodies[0];
  if (table.dataset.shown === "0") body.replaceChildren();
  for (const trip of late) {
    const row = body.insertRow();
    row.className = "late";
    row.insertCell().append(Object.assign(document.createElement("code"), { textContent: trip.name }));
    row.insertCell().textContent = `${trip.description} (after the page was made)`;
    const time = row.insertCell();
    time.className = "number";
    time.textContent = trip.duration.toFixed(2);
  }
  const told = late.map((trip) => `${trip.name}, ${trip.description}, ${trip.duration.toFixed(2)} ms`).join("; ");
  document.getElementById("commit").textContent = `Stored before the response left: ${told}.`;
}

// -- two tabs at once

async function sendTwenty(form, lab) {
  const writes = Number(form.dataset.writes);
  const outcome = document.getElementById("parallel-outcome");
  outcome.textContent = "Sending…";
  await post("/parallel", form);
  const answers = await Promise.all(
    Array.from({ length: writes }, (_, number) => post(`/lab/${lab}`, form, { number })),
  );
  const stored = answers.filter((answer) => answer.ok).length;
  const { kept, tally } = await (await fetch("/parallel?as=json")).json();
  const cells = document.getElementById("board").children;
  const count = lab.endsWith("add") ? tally : kept.filter(Boolean).length;
  [...cells].forEach((cell, number) => cell.classList.toggle("kept", lab.endsWith("add") ? number < tally : kept[number]));
  outcome.textContent = `${writes} sent, ${stored} answered with success, ${count} kept, ${writes - count} lost.`;
}

function setUpParallel() {
  const form = document.getElementById("parallel");
  if (!form) return;
  const buttons = [...form.querySelectorAll("button")];
  for (const button of buttons) {
    button.addEventListener("click", async () => {
      for (const each of buttons) each.disabled = true;
      try {
        await sendTwenty(form, button.dataset.lab);
      } catch (error) {
        document.getElementById("parallel-outcome").textContent = `The round failed: ${error.message}`;
      } finally {
        for (const each of buttons) each.disabled = false;
        button.focus();
      }
    });
  }
}

// -- an outage

async function tryPolicy(form, cell) {
  const path = `/lab/${cell.dataset.try}/try`;
  const began = performance.now();
  const answer = cell.dataset.method === "POST" ? await post(path, form) : await fetch(path);
  const { outcome } = await answer.json();
  cell.textContent = `${outcome}, ${Math.round(performance.now() - began)}\u00a0ms`;
}

function setUpPolicies() {
  const form = document.getElementById("policies");
  if (!form) return;
  const button = document.getElementById("try");
  button.addEventListener("click", async () => {
    button.disabled = true;
    const cells = [...form.querySelectorAll("[data-try]")];
    for (const cell of cells) cell.textContent = "…";
    await Promise.all(cells.map((cell) => tryPolicy(form, cell)));
    button.disabled = false;
    document.getElementById("policies-outcome").textContent = "All six were tried.";
  });
}

showLateTrips();
setUpParallel();
setUpPolicies();
