"""Handlers of wsd in Python. A class with the reactions that it needs, and run():

    import wsd_handler

    class Chat(wsd_handler.Handler):
        def on_text(self, connection, text):
            connection.publish(text)          # to all others of the subprotocol

    wsd_handler.run(Chat())

docs/script-channel.md describes the channel, which has the standard output: print() writes to the log."""
import sys
from urllib.parse import quote, unquote


class Connection:
    """A connection of a client. `data` is the handler's own. It may be kept; after on_close() its calls do nothing."""

    def __init__(self, channel, id, environment):
        self._channel, self.id, self.environment, self.data = channel, id, environment, None

    @property
    def subprotocol(self):
        return self.environment.get('SUBPROTOCOL', '')

    def send(self, message):
        """Sends a str as a text message, bytes as a binary message."""
        self._channel.message(['send', self.id], message)

    def publish(self, message, room=None):
        """Sends to all others of the subprotocol, or of a room."""
        word, to = ('broadcast', self.subprotocol) if room is None else ('publish', room)
        self._channel.message([word], message, to, self.id)

    def close(self, code=1000, reason=''):
        self._channel.request(['close', self.id, code], reason)

    def join(self, room):
        self._channel.request(['join', self.id, room])

    def leave(self, room):
        self._channel.request(['leave', self.id, room])

    def set_user(self, user):
        self._channel.request(['user', self.id, user])

    def after(self, seconds, name):
        """Calls on_timer(connection, name) later, unless the connection ends before."""
        self._channel.request(['timer', self.id, name, int(seconds * 1000)])


class Handler:
    """The reactions. All are optional; on_upgrade and on_command are called only if the class has them."""

    def on_open(self, connection): pass
    def on_text(self, connection, text): connection.close(1003, 'the handler takes no text')
    def on_binary(self, connection, payload): connection.close(1003, 'the handler takes no binary messages')
    def on_close(self, connection, code, reason): pass
    def on_drained(self, connection): pass
    def on_timer(self, connection, name): pass
    def on_again(self, connection, state): self.on_open(connection)  # another process has known the connection
    def on_leave(self, connection): return None                     # another process takes it over: bytes for that
    def log(self, text, level='info'):
        self.channel.request(['log', level], text)

    def send_to_room(self, room, message):
        self.channel.message(['publish'], message, room)

    def send_to_user(self, user, message):
        self.channel.message(['to-user'], message, user)


class Channel:
    input, output = sys.stdin.buffer, sys.stdout.buffer

    def request(self, words, payload=b''):
        payload = payload.encode() if isinstance(payload, str) else payload
        line = ' '.join(quote(str(word), safe='') or '%' for word in words)
        self.output.write(b'%s %d\n%s' % (line.encode(), len(payload), payload))

    def message(self, words, message, *more):
        self.request([*words, 'text' if isinstance(message, str) else 'binary', *more], message)

    def event(self):
        """(words, payload); None at the end."""
        self.output.flush()  # all requests, before it waits
        line = self.input.readline()
        if not line:
            return None
        *words, size = line.decode().split()
        return ['' if word == '%' else unquote(word) for word in words], self.input.read(int(size))


def _environment(payload):
    return dict(line.split('=', 1) for line in payload.decode(errors='replace').splitlines())


def run(handler):
    """Serves until wsd ends the process."""
    handler.channel = channel = Channel()
    sys.stdout = sys.stderr
    connections = {}
    channel.request(['ready', 'drained'] + [word for word in ('upgrade', 'command') if hasattr(handler, 'on_' + word)])
    while (event := channel.event()) is not None:
        (word, *words), payload = event
        if word == 'ping':
            channel.request(['pong', *words])
        elif word == 'stop':
            return channel.output.flush()
        elif word == 'upgrade':
            answer = handler.on_upgrade(_environment(payload)) or {}
            if 'status' in answer:
                channel.request(['refuse', words[0], answer['status']], answer.get('body', ''))
            else:
                fields = ''.join(f'{name}: {value}\n' for name, value in answer.get('headers', {}).items())
                channel.request(['accept', words[0]] + ([answer['user']] if 'user' in answer else []), fields)
        elif word == 'command':
            try:
                channel.request(['reply', words[0], 'ok'], handler.on_command(words[1:], payload) or '')
            except Exception as error:
                channel.request(['reply', words[0], 'error'], str(error))
        elif word == 'open':
            connection = connections[words[0]] = Connection(channel, words[0], _environment(payload))
            if 'state' not in words:  # otherwise it follows
                handler.on_again(connection, None) if 'again' in words else handler.on_open(connection)
        elif words and words[0] in connections:
            try:
                _react(handler, connections, word, words, payload)
            except Exception:  # ends this connection only
                sys.excepthook(*sys.exc_info())
                channel.request(['close', words[0], 1011])


def _react(handler, connections, word, words, payload):
    connection = connections[words[0]]
    calls = {'text': lambda: handler.on_text(connection, payload.decode()),
             'binary': lambda: handler.on_binary(connection, payload),
             'drained': lambda: handler.on_drained(connection),
             'timer': lambda: handler.on_timer(connection, words[1]),
             'restore': lambda: handler.on_again(connection, payload)}
    if word in calls:
        return calls[word]()
    del connections[words[0]]  # its last event
    if word == 'leave':
        state = handler.on_leave(connection)
        if state is not None:
            handler.channel.request(['state', connection.id, 1], state)
    elif word == 'close':
        handler.on_close(connection, int(words[1]), payload.decode(errors='replace'))
