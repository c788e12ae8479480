// Part of Compare.jsx: send actions to the server, one at a time, with undo and retry.

const SLOW_MS = 400; // from then on the card says that it is saving; before, the line would only flicker

const useSender = (callAction) => {
  const [sending, setSending] = useState(0);
  const [failed, setFailed] = useState(null);
  const [canUndo, setCanUndo] = useState(false);
  const [taught, setTaught] = useState(''); // by the latest rating, in words
  const [isSlow, setIsSlow] = useState(false);
  useEffect(() => {
    if (!sending) return undefined;
    const timer = setTimeout(() => setIsSlow(true), SLOW_MS);
    return () => {
      clearTimeout(timer);
      setIsSlow(false);
    };
  }, [sending > 0]);
  const backs = useRef([]); // the action that undoes each saved one, latest last
  const queue = useRef(Promise.resolve()); // actions wait here while another one is being saved
  const call = async (name, payload) => {
    try {
      const result = await callAction({ name, payload });
      return result?.response ?? { error: t('page.lost') };
    } catch {
      return { error: t('page.lost') };
    }
  };
  const remember = (next) => {
    backs.current = next;
    setCanUndo(next.length > 0);
  };
  const keep = (name, back) => back && remember([...backs.current, [name, back]]);
  // `make` returns [name, payload, undo payload] when its turn comes, from the card as it is then; nothing to skip it.
  const send = (make, saved = keep) => {
    setSending((n) => n + 1);
    queue.current = queue.current.then(async () => {
      const [name, payload, back] = make() ?? [];
      if (name) {
        setFailed(null);
        const { error, taught: lesson } = await call(name, payload);
        if (error) setFailed({ again: () => send(make, saved), error });
        else {
          setTaught(lesson ?? '');
          saved(name, back);
          window.dispatchEvent(new Event('thumbtune-rated')); // for Ratings.jsx
        }
      }
      setSending((n) => n - 1);
    });
  };
  // Queued, too: the action to undo may not be saved yet.
  const undo = () => send(() => backs.current[backs.current.length - 1], () => remember(backs.current.slice(0, -1)));
  return { call, send, undo, sending: sending > 0, failed, isSlow, canUndo, taught, fail: setFailed };
};

// `latest` holds the card as the server last sent it; a queued action refers to that.
const actsOf = (latest, sender) => {
  const byLetter = (letter) => latest.current.sides.find((side) => side.side === letter);
  const voteOf = ({ answer, vote, reason, comment }) => ({ answer, value: vote, reason, comment });
  return {
    vote: (letter, value) =>
      sender.send(() => {
        const side = byLetter(letter);
        return side.answer && ['vote', { answer: side.answer, value: side.vote === value ? 0 : value }, voteOf(side)];
      }),
    explain: (letter, changes) =>
      sender.send(() => {
        const before = voteOf(byLetter(letter));
        // send and undo only the changed fields: the card may not show the previous change yet
        const back = Object.fromEntries(Object.keys(changes).map((key) => [key, before[key]]));
        const vote = { answer: before.answer, value: -1 };
        return before.value === -1 && ['vote', { ...vote, ...changes }, { ...vote, ...back }];
      }),
    choose: (choice) =>
      sender.send(() => {
        const { sides, preference } = latest.current;
        if (!sides.every((side) => side.answer)) return null;
        const { answer } = sides[0];
        return ['choose', { answer, choice: preference === choice ? '' : choice }, { answer, choice: preference }];
      }),
    mark: (letter, rank, value) =>
      sender.send(() => {
        const { answer, sources } = byLetter(letter);
        const now = sources.find((source) => source.rank === rank)?.mark;
        return answer && ['mark', { answer, rank, value: now === value ? 0 : value }, { answer, rank, value: now }];
      }),
    goOn: async (cut) => {
      const { error } = await sender.call('go_on', { cut });
      sender.fail(error ? { what: 'tools.not_continued', error } : null);
    },
    ask: async (query) => {
      const { error } = await sender.call('reask', { query }); // not queued: it says nothing of this card
      sender.fail(error ? { what: 'tools.not_asked', error } : null);
    },
  };
};
