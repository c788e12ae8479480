// Part of Compare.jsx: on a phone the answers are two pages, turned by a swipe or a tab (css/fit.css).

// `unseen`: the second answer was not on the screen yet and nothing is rated: then a phone offers to see it first.
const usePages = (card) => {
  const row = useRef(null);
  const [shown, setShown] = useState('A');
  const [seen, setSeen] = useState(false);
  const look = () => {
    const { scrollLeft, clientWidth, scrollWidth, children } = row.current;
    if (scrollWidth <= clientWidth + 1) return; // side by side
    const at = scrollLeft > clientWidth / 2 ? 1 : 0;
    const letter = card.sides[at].side;
    if (letter === shown) return;
    setShown(letter);
    setSeen(true);
    const page = children[at];
    if (page.getBoundingClientRect().bottom < window.innerHeight / 4) page.scrollIntoView({ block: 'start', inline: 'nearest' });
  };
  const go = (letter) => {
    const at = card.sides.findIndex(({ side }) => side === letter);
    const calm = window.matchMedia('(prefers-reduced-motion: reduce)').matches;
    row.current.scrollTo({ left: at * row.current.clientWidth, behavior: calm ? 'auto' : 'smooth' });
  };
  return { row, shown, look, go, unseen: !seen && !card.preference && !card.reveal };
};
