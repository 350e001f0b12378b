"use strict";
document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new URLSearchParams({ token: document.getElementById("token").value });
  const answer = await fetch("/login", { method: "POST", body });
  if (answer.ok) location.assign("/");
  else document.getElementById("why").textContent = await answer.text();
});
