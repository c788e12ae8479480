// Part of Source.jsx: a page of the passage's PDF with the passage marked, drawn by public/pdf_page.js.

const RESIZED_MS = 150; // a panel that is dragged is drawn again when it rests
const TURNS = { ArrowLeft: -1, PageUp: -1, ArrowRight: 1, PageDown: 1 };
const FAULTS = { 404: 'source.pdf_gone', 410: 'source.pdf_gone', 413: 'source.pdf_large' };

// Returns the document once it is loaded, whether its file was changed since it was indexed, and what failed.
const usePdf = (address) => {
  const [loaded, setLoaded] = useState({});
  useEffect(() => {
    let task = null;
    let left = false;
    const load = async () => {
      const reply = await fetch(address, { method: 'HEAD' });
      if (left) return;
      if (!reply.ok) {
        setLoaded({ fault: FAULTS[reply.status] ?? 'source.pdf_failed' });
        return;
      }
      const viewer = await window.thumbtune.pdf();
      if (left) return;
      task = viewer.load(address);
      const pdf = await task.promise;
      if (!left) setLoaded({ pdf, draw: viewer.draw, changed: reply.headers.get('x-document-changed') === '1' });
    };
    load().catch(() => left || setLoaded({ fault: 'source.pdf_failed' }));
    return () => {
      left = true;
      task?.destroy();
    };
  }, [address]);
  return loaded;
};

// Returns the width of a box, once it has one, and again when it has rested at another.
const useWidth = (box) => {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    let timer = null;
    const observer = new ResizeObserver(([{ contentRect }]) => {
      clearTimeout(timer);
      timer = setTimeout(() => setWidth(Math.floor(contentRect.width)), RESIZED_MS);
    });
    observer.observe(box.current);
    return () => {
      clearTimeout(timer);
      observer.disconnect();
    };
  }, []);
  return width;
};

const PdfPage = ({ passage }) => {
  const first = parseInt(passage.page, 10);
  const [number, setNumber] = useState(first);
  const [drawn, setDrawn] = useState(null); // the page that is on the screen, and how many places of it are marked
  const [fault, setFault] = useState('');
  const root = useRef(null);
  const box = useRef(null);
  const loaded = usePdf(passage.file.split('#')[0]);
  const width = useWidth(box);
  const pages = loaded.pdf?.numPages ?? 0;
  const text = passage.on_pages[number - first] ?? '';
  const turn = (by) => setNumber((now) => Math.min(pages, Math.max(1, now + by)));

  useEffect(() => {
    root.current.focus({ preventScroll: true });
  }, []);
  useEffect(() => {
    if (!loaded.pdf || !width) return undefined;
    if (number > pages) {
      setNumber(pages); // the file has fewer pages by now
      return undefined;
    }
    const control = new AbortController();
    loaded
      .draw(loaded.pdf, number, box.current, text, control.signal)
      .then((marks) => {
        if (control.signal.aborted) return;
        setDrawn({ number, marks });
        setFault('');
        centre(box.current.querySelector('mark') ?? root.current);
      })
      .catch(() => control.signal.aborted || setFault('source.pdf_failed'));
    return () => control.abort();
  }, [loaded, number, width]);

  const wrong = loaded.fault ?? fault;
  const isHere = drawn?.number === number;
  const note = () => {
    if (wrong) return t(wrong);
    if (!isHere) return t('source.pdf_loading');
    if (loaded.changed) return t('source.pdf_changed');
    return text && !drawn.marks ? t('source.not_marked') : '';
  };
  const press = (event) => {
    const by = TURNS[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    turn(by);
  };
  return (
    <section ref={root} className="tt-pdf" tabIndex={-1} aria-label={t('source.pdf_label', { page: number, title: passage.title })} onKeyDown={press}>
      <div className="tt-pdf-bar">
        <button type="button" className="tt-quiet" aria-label={t('source.previous')} title={t('source.previous')} disabled={!pages || number <= 1} onClick={() => turn(-1)}>
          <ChevronLeft size={18} aria-hidden="true" />
        </button>
        <span aria-live="polite">{pages ? t('source.page_of', { page: number, pages }) : t('source.page', { page: number })}</span>
        <button type="button" className="tt-quiet" aria-label={t('source.next')} title={t('source.next')} disabled={!pages || number >= pages} onClick={() => turn(1)}>
          <ChevronRight size={18} aria-hidden="true" />
        </button>
      </div>
      <p role="status" className={wrong || loaded.changed ? 'tt-error' : 'tt-pdf-note'}>{note()}</p>
      <div ref={box} className="tt-pdf-page" data-drawn={isHere ? number : undefined} hidden={Boolean(wrong)} />
    </section>
  );
};
