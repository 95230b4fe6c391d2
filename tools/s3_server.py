"""An object store for tests: moto's S3 on loopback, with signatures checked and faults on request.

    s3_server.py READY [--tls]

READY is a file that is written when the server answers, for a shell to source: AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and with --tls AWS_CA_BUNDLE.

moto checks each request's signature with its own key; what it does not look at is checked here: that
every x-amz header and the host is signed, that the body is the one whose hash is signed, that the time
is now, and that checksums of content are true.

Control, unsigned, under /_test/BUCKET/:
    PUT  bucket            makes it
    POST drop, POST back   makes it vanish; brings it back as it was
    POST empty             brings it back with nothing in it
    PUT  object?key=…      puts an object with nothing in it
    POST out, POST in      ?folder=…&directory=…: copies what lies below a folder into a directory of this machine;
                           makes it what the directory holds
    GET  keys, uploads     what lies in it, one a line; how many multipart uploads are open
    POST fault?kind=…&method=…&count=N&seconds=S
        kinds: unavailable (503), failing (500), cut (nothing done, no answer), lost (done, no answer),
        half (half of the answer's body), slow, careless (ignores conditions), rotten (a bit of what is read
        is flipped), meddled (a signed header is changed on the way), replaced (another's is put over it)
    POST calm              no more faults
"""
import base64
import hashlib
import io
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from urllib.parse import parse_qs

os.environ['MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS'] = 'false'
os.environ['INITIAL_NO_AUTH_ACTION_COUNT'] = '3'
os.environ.pop('AWS_ENDPOINT_URL', None)

import boto3
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ACCOUNT = '123456789012'


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def check_request(environ, body):
    """What a signature must cover, and moto does not look at."""
    found = re.match(r'AWS4-HMAC-SHA256 Credential=([^/]+)/[^,]+, ?SignedHeaders=([^,]+), ?Signature=[0-9a-f]{64}$',
                     environ.get('HTTP_AUTHORIZATION', ''))
    if not found:
        raise Refused('403 Forbidden', 'AccessDenied', 'the request is not signed')
    signed = set(found[2].split(';'))
    sent = {name[5:].lower().replace('_', '-') for name in environ if name.startswith('HTTP_X_AMZ_')}
    if not sent | {'host'} <= signed:
        raise Refused('403 Forbidden', 'AccessDenied', f'not signed: {sorted((sent | {"host"}) - signed)}')
    if environ.get('HTTP_X_AMZ_CONTENT_SHA256') != hashlib.sha256(body).hexdigest():
        raise Refused('400 Bad Request', 'XAmzContentSHA256Mismatch', 'the body is not the one that was signed')
    checksum = environ.get('HTTP_X_AMZ_CHECKSUM_SHA256')
    if checksum and checksum != base64.b64encode(hashlib.sha256(body).digest()).decode():
        raise Refused('400 Bad Request', 'BadDigest', 'the body does not have the checksum that is named')
    at = datetime.strptime(environ['HTTP_X_AMZ_DATE'], '%Y%m%dT%H%M%SZ').replace(tzinfo=timezone.utc)
    if abs((datetime.now(timezone.utc) - at).total_seconds()) > 900:
        raise Refused('403 Forbidden', 'RequestTimeTooSkewed', 'the clocks differ')


class Fault:
    def __init__(self, query):
        def one(name, standard):
            return query.get(name, [standard])[0]
        self.kind, self.method = one('kind', ''), one('method', 'ANY')
        self.left, self.seconds = int(one('count', '1')), float(one('seconds', '1'))
        self.skip = int(one('skip', '0'))

    def strikes(self, method):
        if self.left == 0 or self.method not in ('ANY', method):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.left -= 1
        return True


class Front:
    """Stands before moto."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.backend = s3_backends[ACCOUNT]['aws']
        self.is_open = True
        self.faults, self.dropped = {}, {}
        # moto looks and then writes; a real store does both at once.
        self.lock = threading.RLock()

    def __call__(self, environ, start):
        size = int(environ.get('CONTENT_LENGTH') or 0)
        body = environ['wsgi.input'].read(size) if size else b''
        path = environ['PATH_INFO']
        if path.startswith('/_test/'):
            return self.control(environ, start, path.split('/')[2:])
        if not self.is_open:
            try:
                check_request(environ, body)
            except Refused as refused:
                return self.error(start, refused)
        bucket = path.split('/')[1] if path != '/' else ''
        return self.faulty(environ, start, body, bucket)

    @staticmethod
    def error(start, refused):
        text = ('<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>'
                % (refused.code, refused.message)).encode()
        start(refused.status, [('Content-Type', 'application/xml'), ('Content-Length', str(len(text)))])
        return [text]

    def faulty(self, environ, start, body, bucket):
        method = environ['REQUEST_METHOD']
        with self.lock:
            kinds = {fault.kind: fault for fault in self.faults.get(bucket, []) if fault.strikes(method)}
        if bucket and bucket not in self.backend.buckets:
            # moto asks for the owner's permission first, and then has no owner to ask.
            return self.error(start, Refused('404 Not Found', 'NoSuchBucket', 'The bucket does not exist'))
        if 'slow' in kinds:
            time.sleep(kinds['slow'].seconds)
        if 'unavailable' in kinds:
            return self.error(start, Refused('503 Slow Down', 'SlowDown', 'Please reduce your request rate.'))
        if 'failing' in kinds:
            return self.error(start, Refused('500 Oops', 'InternalError', 'We encountered an internal error.'))
        if 'cut' in kinds:
            return self.hang_up(environ, start)
        if 'meddled' in kinds:
            date = environ['HTTP_X_AMZ_DATE']
            environ['HTTP_X_AMZ_DATE'] = date[:-2] + ('1Z' if date.endswith('0Z') else '0Z')
        status, headers, answer = self.ask_moto(environ, body, careless='careless' in kinds)
        if 'replaced' in kinds:
            key = self.backend.put_object(bucket, environ['PATH_INFO'].split('/', 2)[2], b"another's")
            key.set_metadata({'x-amz-meta-opsledger-upload': 'another'})
        if 'lost' in kinds:
            return self.hang_up(environ, start)
        if 'rotten' in kinds and method == 'GET' and answer:
            answer = bytes([answer[0] ^ 1]) + answer[1:]
        if 'half' in kinds and len(answer) > 1:
            start(status, headers)
            return self.half(environ, answer)
        start(status, headers)
        return [answer]

    def ask_moto(self, environ, body, careless):
        environ['wsgi.input'] = io.BytesIO(body)
        got = {}

        def remember(status, headers, _=None):
            got['status'], got['headers'] = status, headers
        with self.lock:
            if careless:
                # The conditions ask for the object first, and nothing else does in a PUT or POST.
                self.backend.get_object = lambda *arguments, **named: None
            try:
                answer = b''.join(self.moto(environ, remember))
            finally:
                if careless:
                    del self.backend.get_object
        return got['status'], got['headers'], answer

    @staticmethod
    def hang_up(environ, start):
        environ['werkzeug.socket'].shutdown(socket.SHUT_RDWR)
        start('200 OK', [])
        return []

    @staticmethod
    def half(environ, answer):
        yield answer[:len(answer) // 2]
        environ['werkzeug.socket'].shutdown(socket.SHUT_RDWR)

    def below(self, bucket, folder):
        return [name for name in self.backend.buckets[bucket].keys if name.startswith(folder + '/')]

    def out(self, bucket, folder, directory):
        for name in self.below(bucket, folder):
            path = os.path.join(directory, name[len(folder) + 1:])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as file:
                file.write(self.backend.get_object(bucket, name).value)

    def into(self, bucket, folder, directory):
        for name in self.below(bucket, folder):
            self.backend.delete_object(bucket, name)
        for place, _, names in os.walk(directory):
            for name in names:
                path = os.path.join(place, name)
                with open(path, 'rb') as file:
                    self.backend.put_object(bucket, f'{folder}/{os.path.relpath(path, directory)}', file.read())

    def control(self, environ, start, path):
        bucket, what = path
        buckets = self.backend.buckets
        query = parse_qs(environ['QUERY_STRING'])
        answer = ''
        with self.lock:
            if what in ('bucket', 'empty'):
                self.backend.create_bucket(bucket, 'us-east-1')
            elif what == 'object':
                self.backend.put_object(bucket, query['key'][0], b'')
            elif what == 'out':
                self.out(bucket, query['folder'][0], query['directory'][0])
            elif what == 'in':
                self.into(bucket, query['folder'][0], query['directory'][0])
            elif what == 'drop':
                self.dropped[bucket] = buckets.pop(bucket), s3_backends.bucket_accounts.pop(bucket)
            elif what == 'back':
                buckets[bucket], s3_backends.bucket_accounts[bucket] = self.dropped.pop(bucket)
            elif what == 'keys':
                answer = ''.join(f'{name}\n' for name in sorted(buckets[bucket].keys))
            elif what == 'uploads':
                answer = f'{len(buckets[bucket].multiparts)}\n'
            elif what == 'fault':
                self.faults.setdefault(bucket, []).append(Fault(query))
            elif what == 'calm':
                self.faults.pop(bucket, None)
            else:
                start('404 Not Found', [('Content-Length', '0')])
                return [b'']
        text = answer.encode()
        start('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(text)))])
        return [text]


class Handler(WSGIRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log(self, *_):
        pass

    def log_error(self, *_):
        pass


def make_certificate(folder):
    """A certificate of 127.0.0.1 that nothing trusts but who is told to."""
    key, certificate = f'{folder}/key.pem', f'{folder}/certificate.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                    '-keyout', key, '-out', certificate, '-days', '2', '-subj', '/CN=127.0.0.1',
                    '-addext', 'subjectAltName=IP:127.0.0.1'], check=True, capture_output=True)
    return key, certificate


def make_user(port):
    """A user of moto's with a key, who may do all in S3; from then on moto checks who asks."""
    iam = boto3.client('iam', endpoint_url=f'http://127.0.0.1:{port}', region_name='us-east-1',
                       aws_access_key_id='first', aws_secret_access_key='first')
    iam.create_user(UserName='ledger')
    iam.put_user_policy(UserName='ledger', PolicyName='all', PolicyDocument=(
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'))
    key = iam.create_access_key(UserName='ledger')['AccessKey']
    return key['AccessKeyId'], key['SecretAccessKey']


def main():
    ready, tls = sys.argv[1], '--tls' in sys.argv
    front = Front()
    server = make_server('127.0.0.1', 0, front, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    key, secret = make_user(server.server_port)
    front.is_open = False
    settings = {'AWS_ENDPOINT_URL': f'http://127.0.0.1:{server.server_port}', 'AWS_ACCESS_KEY_ID': key,
                'AWS_SECRET_ACCESS_KEY': secret}
    with tempfile.TemporaryDirectory() as folder:
        if tls:
            key_file, certificate = make_certificate(folder)
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate, key_file)
            encrypted = make_server('127.0.0.1', 0, front, threaded=True, request_handler=Handler, ssl_context=context)
            threading.Thread(target=encrypted.serve_forever, daemon=True).start()
            settings['TLS_ENDPOINT_URL'] = f'https://127.0.0.1:{encrypted.server_port}'
            settings['AWS_CA_BUNDLE'] = certificate
        with open(ready + '.part', 'w') as file:
            file.writelines(f'{name}={value}\n' for name, value in settings.items())
        os.rename(ready + '.part', ready)
        # Ends with who started it, however that ends: its input closes.
        sys.stdin.read()


main()
