"""Sign-in, cookies, security headers, rate limits.

security      security headers, Origin and Host checks, closed routes
signin        sign-in modes: open, password, OAuth, proxy header
rater_cookie  an anonymous rater by a signed cookie
rate_limits   how often a rater and an address may ask, upload, sign in and train
index_page    Chainlit's HTML page without what it fetches from other hosts
language_file the page's texts in one language, as a script
"""
