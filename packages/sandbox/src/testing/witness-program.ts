/**
 * A program inside a guest that remembers, so that a test can ask it after every pause what it still has: a region of
 * memory, an open file without a name, a counter and the time. One JSON request a line, over TCP. Its arguments are
 * the port and the pages of the region.
 */
export const WITNESS_PROGRAM = `
import hashlib, json, mmap, os, socketserver, sys, threading, time

PAGE = 4096
PORT, PAGES = int(sys.argv[1]), int(sys.argv[2])
region = mmap.mmap(-1, PAGES * PAGE)
nameless = open('nameless', 'w+b')
nameless.write(os.urandom(65536))
nameless.flush()
os.unlink('nameless')
count, ticks = 0, 0

def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.01)

def page_of(page, value):
    return b'\\0' * PAGE if value == 0 else (b'%d %d ' % (page, value)).ljust(PAGE, b'.')

def state(_):
    nameless.seek(0)
    return {'pid': os.getpid(), 'ticks': ticks, 'count': count, 'unixMs': time.time() * 1000,
            'nameless': hashlib.sha256(nameless.read()).hexdigest()}

def bump(_):
    global count
    count += 1
    return count

def poke(request):
    for page, value in request['pages']:
        region[page * PAGE:(page + 1) * PAGE] = page_of(page, value)

def wrong(request):
    values = request['values']
    return [page for page in range(PAGES)
            if region[page * PAGE:(page + 1) * PAGE] != page_of(page, values[page])]

WHAT = {f.__name__: f for f in [state, bump, poke, wrong]}

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            request = json.loads(line)
            try:
                answer = {'answer': WHAT[request['what']](request)}
            except Exception as error:
                answer = {'error': repr(error)}
            self.wfile.write(json.dumps(answer).encode() + b'\\n')

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

threading.Thread(target=tick, daemon=True).start()
with Server(('127.0.0.1', PORT), Handler) as server:
    print('listening', flush=True)
    server.serve_forever()
`;
