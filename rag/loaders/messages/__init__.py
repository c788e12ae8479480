"""E-mail and saved web archives.

mail     a message and its attachments: .eml, and the messages of a mailbox, .mbox
outlook  messages that Outlook saves, .msg
outlook_items  what Outlook shows of appointments, tasks and contacts
mhtml    web pages saved with their pictures, .mhtml
letter   what all of them become: subject, people, date, body, attachments
"""
