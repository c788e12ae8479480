"""What the commands on the home folder do: forget, backup, restore, copy-chats, doctor."""

from __future__ import annotations

import argparse

from rag import cli


def forget(given: argparse.Namespace) -> None:
    """Delete a rater, and print what went and what is left to do."""
    from rag.home_address import address_of
    from rag.settings import load_settings
    from rag.upkeep import personal_data

    settings = load_settings()
    gone = personal_data.forget(settings, given.rater)
    print(
        f"forgot {given.rater!r}: deleted {cli.counted(gone.ratings, 'rating')} and {cli.counted(gone.labels, 'label')}"
    )
    chats, answers = cli.counted(gone.threads, "chat"), cli.counted(gone.answers, "answer")
    print(f"also {chats} with all questions, and {answers} that nobody else has rated")
    if address := address_of(settings.home):
        print(f"Earlier versions of the objects in {address} stay as long as its bucket keeps them.")
    else:
        print("The next `python -m rag backup` removes the backups that were made before.")
    if gone.versions:
        print(f"Trained with these labels: {', '.join(gone.versions)}. Train again, or run `python -m train rollback`.")


def back_up(given: argparse.Namespace) -> int:
    """Make a backup, or check those there are: 2 where one is damaged."""
    from rag.errors import BadSetting, StoreFailed
    from rag.history import history_of
    from rag.settings import load_settings
    from rag.upkeep import backup as backing_up

    if given.check:
        found, known = backing_up.backups(given.folder), dict[int, str]()
        if not found:
            raise StoreFailed(f"{given.folder}: there is no backup in it")
        wrong = {backup.folder.name: list(backing_up.check_backup(backup, known)) for backup in found}
        for backup in found:
            for line in wrong[backup.folder.name]:
                print(f"damaged    {line}")
            if not wrong[backup.folder.name]:
                print(f"whole      {backup.folder}: {len(backup.files):,} files")
        return cli.USER_ERROR if any(wrong.values()) else 0
    if given.keep < 0:
        raise BadSetting(f"--keep {given.keep}: give a number of 1 or more")
    settings = load_settings()
    report = backing_up.back_up(settings, given.folder, keep=given.keep)
    print(f"backed up {report.files:,} files, {report.size / 1e6:,.1f} MB, to {report.folder}")
    print(f"{report.copied:,} of them, {report.copied_size / 1e6:,.1f} MB, had changed; the others take no more space")
    for folder in report.removed:
        print(f"removed {folder}")
    if settings.history:
        where = history_of(settings).shown
        print(f"The chats are in {where} and not in this backup: pg_dump --schema=thumbtune backs them up")
    return 0


def restore(given: argparse.Namespace) -> None:
    """Restore the latest backup, and print what to do next."""
    from rag.settings import load_settings
    from rag.upkeep.restore import restore as restore_home

    home = load_settings().home
    backup, former = restore_home(home, given.folder, replace=given.replace)
    print(f"restored {len(backup.files):,} files of {backup.made:%Y-%m-%d %H:%M} UTC to {home}")
    if former:
        print(f"what was there is in {former}")
    if backup.settings:
        print("It was made with these settings; set those that still hold:")
        for name, value in backup.settings.items():
            print(f"  {name}={value}")
    print("Next: `python -m rag doctor`, then `python -m rag index` with the documents in the same folder as before.")


def copy_chats(given: argparse.Namespace) -> None:
    """Copy the chats into Postgres."""
    from rag import history
    from rag.errors import BadSetting
    from rag.indexing.progress import Progress
    from rag.settings import load_settings

    settings = load_settings()
    if not settings.history:
        raise BadSetting("THUMBTUNE_HISTORY is not set: name the Postgres database to copy the chats into")
    if not settings.chat_db.is_file():
        raise BadSetting(f"{settings.chat_db}: no such file: there are no chats to copy")
    server = history.PostgresServer(settings.history.get_secret_value())
    with Progress("copying", "chat") as progress:
        done = history.copy_chats(history.SQLiteFile(settings.chat_db), server, progress.advance)
    known = f"; {done.known} {'was' if done.known == 1 else 'were'} there already" if done.known else ""
    print(f"copied {cli.counted(done.threads, 'chat')} to {server.shown}{known}")
    print(f"{settings.chat_db} is as it was: remove it when you have seen them in the chat")


def doctor(given: argparse.Namespace) -> int:
    """Check the home folder, then what a question needs, whose first fault ends it with its own message."""
    from rag.settings import load_settings
    from rag.upkeep.doctor import check_home, check_question

    settings = load_settings()
    lines, damage = check_home(settings, repairing=given.repair)
    for line in lines:
        print(line, flush=True)
    if damage:
        return cli.USER_ERROR
    for line in check_question(settings):
        print(line, flush=True)
    return 0
