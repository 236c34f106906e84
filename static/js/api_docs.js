/* The list of endpoints on the page that explains the API. */
(() => {
  "use strict";

  const place = document.getElementById("swagger-ui");

  /* Swagger keys its dark colours on a class, ours follow the system. */
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", paint);
  paint();

  /* The endpoints are drawn late and push down the error code that the address names. Go there again with each push,
     until the reader takes over. */
  const growth = new ResizeObserver(() => {
    const named = document.querySelector(":target");
    if (named) {
      named.scrollIntoView();
    }
  });
  growth.observe(place);
  for (const act of ["keydown", "pointerdown", "touchstart", "wheel"]) {
    window.addEventListener(act, () => growth.disconnect(), { once: true, passive: true });
  }

  const ours = ({ React }) => ({
    wrapComponents: {
      info: () => () => null, // title and introduction stand above, the codes below
      // Swagger would ask for the value of a cookie, which no script may set: the browser's session counts.
      authorizeBtn: () => () => null,
      authorizeOperationBtn: () => () => React.createElement("span", { className: "docs-sign-in" }, "sign-in needed"),
      // a link within a button is read out twice; the button puts the endpoint's address into the address bar
      DeepLink: () => ({ text }) => React.createElement("span", null, text),
    },
    statePlugins: {
      layout: {
        wrapActions: {
          // #/… is an endpoint; any other is an anchor of ours, which Swagger would rewrite.
          parseDeepLinkHash: (original) => (hash) => (hash.startsWith("#/") ? original(hash) : { type: "not_ours" }),
        },
      },
    },
  });

  window.SwaggerUIBundle({
    url: place.dataset.schema,
    domNode: place,
    presets: [window.SwaggerUIBundle.presets.apis],
    plugins: [ours],
    layout: "BaseLayout",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    syntaxHighlight: false, // in colours that are too pale to read
    requestInterceptor: (request) => {
      if (!["GET", undefined].includes(request.method) && request.credentials === "same-origin") {
        request.headers["X-CSRFToken"] = place.dataset.csrf;
      }
      return request;
    },
  });
})();
