"""What every web server here needs: the guard of hosts and origins, rate limits, the secret.

hosts        which Host and Origin headers are answered
listen       whether a server could listen on a port
rate_limits  sliding windows; the address of a request
secret       the key of a home folder
"""
