/* Draw the scoreboard's charts. The figures are embedded in the page; their colours are CSS variables ("--sb-tuned") of
   public/scoreboard.css. A chart that cannot be drawn stays hidden; its table has the same numbers. */

const figures = JSON.parse(document.getElementById('figures').textContent);
const root = document.documentElement;
const dark = matchMedia('(prefers-color-scheme: dark)');

/* Return a CSS variable's colour as rgb(), since Plotly reads no CSS variables. */
function color(name) {
  const probe = document.createElement('i');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function painted(value) {
  if (typeof value === 'string') return value.startsWith('--sb-') ? color(value) : value;
  if (Array.isArray(value)) return value.map(painted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, painted(part)]));
}

async function draw() {
  for (const place of document.querySelectorAll('.chart')) {
    const { data, layout } = painted(figures[place.dataset.figure]);
    place.classList.add('drawn');
    try {
      await Plotly.react(place, data, layout, { displayModeBar: false, responsive: true });
    } catch (error) {
      place.classList.remove('drawn');
      console.error(error);
    }
  }
}

function follow(theme) {
  root.dataset.theme = theme ?? '';
  if (window.Plotly) draw();
}

if (window.Plotly) draw();
else document.getElementById('no-charts').hidden = false;
dark.addEventListener('change', () => follow(root.dataset.theme));
addEventListener('storage', (event) => event.key === 'vite-ui-theme' && follow(event.newValue));
