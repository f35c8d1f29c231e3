"""What the page adds to Voila's HTML: a loading line, a limit on uploads, a page to wait on."""

from __future__ import annotations

WAIT_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="{retry}">
<title>Your own video: please wait</title></head>
<body style="font-family: sans-serif; max-width: 36em; margin: 4em auto; line-height: 1.5">
<h1>Please wait</h1>
<p role="status">The page is in use. The number of visitors at the same time is limited to {n},
because each visitor needs memory of this machine. Keep this page open: it tries again every {retry}
seconds and opens as soon as another visitor leaves.</p>
<p>The person who started the page can allow more: <code>tempo-lab app --visitors {more}</code>.</p>
</body></html>
"""

RELOAD = "<script>location.reload()</script>"
"""Ends a page that has begun while another visitor took the last slot; the next one says so."""

STYLE = """<style>
  #loading { display: none !important; }  /* Voila's own: it ends before the controls are there */
  #page-loading { display: flex; gap: 12px; align-items: center; margin: 16px; padding: 12px 16px;
    font: 15px/1.5 sans-serif; color: #1f2d3d; background: #e8f1fa;
    border-left: 4px solid #0072b2; }
  #page-loading i { flex: none; width: 20px; height: 20px; border-radius: 50%;
    border: 3px solid #b8cfe4; border-top-color: #0072b2;
    animation: page-loading 1s linear infinite; }
  @keyframes page-loading { to { transform: rotate(360deg); } }
</style>"""

UPLOAD_SCRIPT = """<script>
(() => {{
  const read = FileReader.prototype.readAsArrayBuffer;
  FileReader.prototype.readAsArrayBuffer = function (file) {{
    const size = `${{(file.size / 2 ** 20).toPrecision(3)}} MiB`;
    if (file.size > {upload_bytes}) throw `${{file.name}}, ${{size}}`;
    return read.call(this, file);
  }};
}})();
</script>"""
"""Refuses an upload before it is read: a message that is too large would end the connection. The
panel handles it like any file that cannot be read."""

LOADING = """<div id="page-loading" role="status"><i></i>
<span>Loading the model and asking a first question. This takes a few seconds with the embedded
model, and minutes with a large one.</span></div>
<script>
(() => {
  const loading = document.getElementById("page-loading"), connectMilliseconds = 60_000;
  const widgets = () => document.querySelector("#rendered_cells .jupyter-widgets");
  const expected = () => [...document.querySelectorAll("script[type*='voila.cell-output']")]
    .some(each => each.textContent.includes("application/vnd.jupyter.widget-view+json"));
  let ran = false;
  const look = () => {
    if (!widgets() && !(ran && !expected())) return;
    watcher.disconnect();
    loading.remove();
  };
  const watcher = new MutationObserver(look);
  watcher.observe(document.body, {childList: true, subtree: true});
  document.addEventListener("DOMContentLoaded", () => {
    ran = true;
    look();
    setTimeout(() => {
      loading.querySelector("span").textContent = "The page has no connection with its kernel. "
        + "Reload it. A proxy must pass on WebSocket connections.";
    }, connectMilliseconds);
  });
})();
</script>
"""
"""Is removed when the controls are there, or when a cell failed and there will be none."""


def first_part(upload_bytes: int) -> str:
    """Return the beginning of the page, which is sent before the visitor's kernel starts.

    What Voila sends afterwards begins with a head of its own. By the rules of HTML a browser takes
    its styles and scripts where they are, and adds the attributes of its body to this one.

    Args:
        upload_bytes: size of the largest upload.
    """
    script = UPLOAD_SCRIPT.format(upload_bytes=upload_bytes)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Your own video</title>'
        '<link rel="icon" href="data:;base64,=">'
        f"{STYLE}{script}</head>\n<body>{LOADING}"
    )
