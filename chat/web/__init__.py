"""Sign-in, cookies, security headers.

security      security headers, Origin and Host checks, closed routes
signin        sign-in modes: open, password, OAuth, proxy header
rater_cookie  an anonymous rater by a signed cookie
index_page    Chainlit's HTML page without what it fetches from other hosts
language_file the page's texts in one language, as a script
"""
