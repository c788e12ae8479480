"""The scoreboard as one HTML page: each chart with its table and its sizes, and what to do where there is nothing yet.

The idea a reader would miss: a share without its size is an anecdote, so no number stands here without its n, and of a
small group none at all. The charts repeat the tables; without scripts the tables are the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from chat.scoreboard.charts import Figure, charts, percent
from chat.scoreboard.html import LISTED, Html, chart, details, listed, note, page, paragraph, section, table, text
from rag.evaluation.agreement import Agreement
from rag.evaluation.intervals import Interval
from rag.evaluation.scoreboard import GROUPS, LEAST, Bias, Groups, Scoreboard
from rag.evaluation.win_rates import WinRate

SMALL = f"too few (below {LEAST})"


def render(board: Scoreboard, plotly: str, now: datetime) -> Html:
    """Return the page; `plotly` is the address of the script that draws."""
    figures = charts(board)
    sections = [
        _headline(board),
        _versions(board, figures),
        _trend(board, figures),
        _groups("documents", "By document", board.documents, figures),
        _groups("topics", "By topic", board.topics, figures),
        _coverage(board, figures),
        _agreement(board.agreements),
        _habits(board, figures),
    ]
    footer = f"As of {now:%Y-%m-%d %H:%M} UTC. No rater is named here."
    return page("Scoreboard", sections, footer, figures, plotly)


def _headline(board: Scoreboard) -> Html:
    sizes, current, overall = board.sizes, board.current, board.overall
    facts = {
        "questions answered by both retrievers": sizes.duels,
        "of them with the same passages on both sides": sizes.same,
        "decided blind": sizes.decided,
        "ratings": sizes.ratings,
        "raters": sizes.raters,
    }
    tiles = "".join(f"<div><dd>{number:,}</dd><dt>{text(name)}</dt></div>" for name, number in facts.items())
    parts = [f'<dl class="tiles">{tiles}</dl>']
    if not overall.n:
        parts.insert(0, note(next_step(board)))
        return section("now", "Does the tuned retriever win?", *parts)
    if current.n:
        parts.insert(0, _big(current, f"{board.tuned}, which serves now"))
    else:
        parts.insert(0, note(f"{board.tuned}, which serves now, has won or lost no duel yet."))
    if len(board.versions) > 1 or not current.n:
        parts.insert(1, paragraph(f"All tuned versions together: {format_win_rate(overall)}."))
    return section("now", "Does the tuned retriever win?", *parts)


def format_win_rate(rate: WinRate) -> str:
    """Return a win rate in words, with its sizes."""
    if not rate.n:
        return f"no duel with a winner, {rate.ties} ties, {rate.both_bad} both bad"
    return (
        f"won {rate.won} of {rate.n} duels, {percent(rate.interval)}; "
        f"beside them {rate.ties} ties and {rate.both_bad} both bad"
    )


def verdict(rate: WinRate) -> str:
    """Return what an interval allows to say."""
    if rate.n < LEAST:
        return f"Too few to say: nothing is claimed below {LEAST} duels with a winner."
    if rate.interval.low > 0.5:
        return "Raters prefer the tuned retriever: the interval lies above one half."
    if rate.interval.high < 0.5:
        return "Raters prefer the base retriever: the interval lies below one half."
    return "Not decided: one half lies within the interval, so this may be luck. More duels make it narrower."


def next_step(board: Scoreboard) -> str:
    """Return why nobody has won yet, and what to do about it."""
    sizes = board.sizes
    if not sizes.duels:
        return (
            "No question has been asked yet. Ask one in the chat: two retrievers answer, and you say which is better."
        )
    if sizes.same == sizes.duels:
        return (
            f"No duel can be decided yet: in all {sizes.duels} both retrievers showed the same passages, as they do "
            "until a training was promoted. Rate answers anyway, then train."
        )
    if not sizes.decided:
        return (
            "No duel has been decided yet. Rate both answers of a question before the names are shown: up against down "
            "decides, or say outright which one you prefer."
        )
    return f"All {sizes.decided} decided duels were ties or both bad, so nobody has won yet. Ask something harder."


def _big(rate: WinRate, who: str) -> Html:
    return (
        f'<p class="big"><strong>{rate.interval.mean:.0%}</strong> <span>of {rate.n} duels won by {text(who)}<br>'
        f"95% interval {rate.interval.low:.0%} to {rate.interval.high:.0%}; "
        f"beside them {rate.ties} ties, {rate.both_bad} both bad</span></p>"
    ) + paragraph(verdict(rate))


def _versions(board: Scoreboard, figures: Mapping[str, Figure]) -> Html:
    ranking, title = board.ranking, "Every version against base"
    if not board.versions:
        return section("ladder", title, note("No version has fought yet."))
    rows = []
    for rung in ranking.models:
        rate = board.versions.get(rung.model)
        ties = (rate.ties, rate.both_bad) if rate else ("", "")
        is_base = rung.model == ranking.reference
        chance = "base" if is_base else percent(rung.chance) if rung.chance else "not linked"
        rows.append([rung.model, rung.won + rung.lost, chance, rung.won, rung.lost, *ties])
    ranked = {rung.model for rung in ranking.models}
    for model, rate in board.versions.items():
        if model not in ranked:
            rows.append([model, 0, "no winner yet", 0, 0, rate.ties, rate.both_bad])
    head = ["model", "n", "chance to beat base", "won", "lost", "ties", "both bad"]
    return section(
        "ladder",
        title,
        paragraph(
            f"Strengths by Bradley and Terry, as the chance to beat base ({ranking.reference}), with 95% intervals. "
            "Each version fights base only; two versions are compared through it. Ties and both bad move nothing."
        ),
        chart("ladder", "Chance of each version to beat base", figures),
        table(head, rows),
        paragraph(_never_met(board)),
    )


def _never_met(board: Scoreboard) -> str:
    unmatched = board.ranking.unmatched
    if not unmatched:
        return "Every pair of models has met."
    named = ", ".join(f"{one} and {other}" for one, other in unmatched[:LISTED])
    more = f", and {len(unmatched) - LISTED} more" if len(unmatched) > LISTED else ""
    return f"{len(unmatched)} pairs never met: {named}{more}."


def _trend(board: Scoreboard, figures: Mapping[str, Figure]) -> Html:
    title = "Over time"
    if not board.trend:
        return section("trend", title, note("Appears with the first duel that is decided."))
    rows = [
        [
            period.start.isoformat(),
            f"{period.rate.won} of {period.rate.n}",
            period.rate.ties,
            period.rate.both_bad,
            f"{percent(period.so_far.interval)}, n={period.so_far.n}" if period.so_far.n else "n=0",
            ", ".join(period.models),
        ]
        for period in reversed(board.trend)
    ]
    unit = "week of" if board.by_week else "day"
    return section(
        "trend",
        title,
        paragraph(
            "The line is the win rate of all duels so far, the band its 95% interval, which holds for each moment by "
            f"itself. Dots are single {'weeks' if board.by_week else 'days'}, large where there were many duels (n)."
        ),
        chart("trend", "Win rate of tuned over time", figures),
        chart("counts", "Duels by outcome over time", figures),
        details("All numbers", table([unit, "tuned won", "ties", "both bad", "so far", "versions"], rows)),
    )


def _groups(name: str, title: str, groups: Groups, figures: Mapping[str, Figure]) -> Html:
    if not groups.shown:
        return section(name, title, note("Appears with the first duel that is decided and cites a passage."))
    rows = [
        [
            each.name,
            each.rate.n,
            SMALL if each.is_small else percent(each.rate.interval),
            f"{each.rate.won} : {each.rate.lost}",
            each.rate.ties,
            each.rate.both_bad,
        ]
        for each in groups.shown
    ]
    others = f" The {GROUPS} with most duels are shown; there are {groups.others} more." if groups.others else ""
    return section(
        name,
        title,
        paragraph(
            f"A duel counts for every {'document' if name == 'documents' else 'topic'} that one of its two answers "
            f"cited. Below {LEAST} duels with a winner (n) nothing is claimed; of twenty groups one looks decided by "
            f"luck alone.{others}"
        ),
        chart(name, f"Win rate of tuned {title.lower()}", figures),
        details(
            f"The numbers of {len(rows)} {name}",
            table([name[:-1], "n", "tuned won", "won : lost", "ties", "both bad"], rows),
        ),
    )


def _coverage(board: Scoreboard, figures: Mapping[str, Figure]) -> Html:
    found, title = board.coverage, "What the documents answer"
    if not found.queries:
        return section("coverage", title, note(f"Nothing has been asked yet of these {found.chunks:,} passages."))
    never_shown = found.never_shown / found.chunks if found.chunks else 0.0
    rows = [[each.source, each.chunks, each.shown, each.cited] for each in found.documents[:GROUPS]]
    parts = [
        paragraph(
            f"{found.never_shown:,} of {found.chunks:,} passages ({never_shown:.0%}) were never shown for any of "
            f"{found.queries:,} questions, and {len(found.uncited)} of {len(found.documents)} documents were never "
            "cited. Either nobody asks for them, or they are not found: ask something that only they answer."
        ),
        chart("coverage", "Passages by document: cited, shown, never shown", figures),
        details(
            f"Documents with the most passages never shown ({len(rows)} of {len(found.documents)})",
            table(["document", "passages", "shown", "cited"], rows),
        ),
        listed("documents were never cited", found.uncited),
        listed("questions got no answer from either retriever", found.abstained),
        listed("questions were voted down, and nobody knows a right passage", found.voted_down),
    ]
    return section("coverage", title, *parts)


def _agreement(agreements: Mapping[str, Agreement]) -> Html:
    names = {
        "answers": "thumbs, same answer",
        "passages": "marks, same passage",
        "duels": "winner, same passages on both sides",
    }
    rows = [
        [names[kind], each.targets, _alpha(each), f"{each.same:.0%}" if each.targets else "", each.raters]
        for kind, each in agreements.items()
    ]
    return section(
        "agreement",
        "Do raters agree?",
        paragraph(
            "Krippendorff's alpha is the agreement beyond chance: 1 is always, 0 is what chance gives, below 0 is "
            "worse. From 0.8 on people rely on such labels, below 0.67 hardly. n counts what two raters or more have "
            "judged. A low value says that the task is unclear or that they want different things, not who is right."
        ),
        table(["same question", "n", "alpha", "said the same", "raters"], rows),
    )


def _alpha(found: Agreement) -> str:
    if not found.targets:
        return "none judged twice"
    if found.alpha is None:
        return "all said the same"
    if found.targets < LEAST:
        return f"{found.alpha.mean:.2f}, {SMALL}"
    return _plain(found.alpha)


def _plain(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _habits(board: Scoreboard, figures: Mapping[str, Figure]) -> Html:
    found, title = board.biases, "Side and length"
    if not found.side_a.n:
        return section("habits", title, note("Appears with the first duel that has a winner."))
    side = found.side_a.share
    biased = found.side_a.n >= LEAST and not side.low <= 0.5 <= side.high
    rows = [
        ["answer on side A won", _habit(found.side_a)],
        ["longer answer won", _habit(found.longer)],
        ["tuned won, its answer the longer one", _habit(found.tuned_longer)],
        ["tuned won, its answer the shorter one", _habit(found.tuned_shorter)],
    ]
    return section(
        "habits",
        title,
        paragraph(
            f"Sides are drawn by lot, so side A should win half of the duels. "
            f"{'It does not: raters favour a side.' if biased else 'Nothing here says that it does not.'} Since tuned "
            "stands on either side equally often, such a habit blurs the win rate and does not tip it. Length is "
            "another matter: a longer answer may be better, or only look so."
        ),
        chart("habits", "How often side A and the longer answer won", figures),
        table(["", "share and 95% interval"], rows),
    )


def _habit(found: Bias) -> str:
    share = percent(found.share) if found.n >= LEAST else f"{found.won} won, {SMALL}"
    return f"{share}, n={found.n}"
