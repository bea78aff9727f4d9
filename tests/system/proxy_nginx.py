"""wsd behind a real nginx, configured by docs/nginx.conf."""
import pathlib
import shutil

from harness import SystemTest, main, skip
from proxy import BehindAProxy, free_port, listens, pages, snippet

NGINX = shutil.which('nginx', path='/usr/sbin:/usr/bin:/usr/local/sbin') or skip('nginx is missing (Debian: nginx)')
STREAM_MODULE = pathlib.Path('/usr/lib/nginx/modules/ngx_stream_module.so')
if not STREAM_MODULE.exists():
    skip('the stream module of nginx is missing (Debian: libnginx-mod-stream)')

# Unprivileged, in one folder, one process.
MAIN = '''
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    default_type text/html;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/default.conf;
    include {folder}/wsd.conf;
}}
'''
# As in Debian's /etc/nginx/sites-available/default.
DEFAULT = '''
server {{
    listen 127.0.0.1:{port} default_server;
    root {root};
    index index.html index.htm;
    server_name _;
}}
'''


class BehindNginx(BehindAProxy, SystemTest):
    async def start_proxy(self, daemon, timeout):
        folder, port = self.folder(), free_port()
        site, default = pages(folder)
        (folder / 'default.conf').write_text(DEFAULT.format(port=port, root=default))
        (folder / 'wsd.conf').write_text(snippet('nginx.conf', {
            '127.0.0.1:8080': '{}:{}'.format(*daemon.address), 'listen 80;': f'listen 127.0.0.1:{port};',
            '/var/www/html': str(site), 'timeout 60s;': f'timeout {timeout}s;'}))
        (folder / 'nginx.conf').write_text(MAIN.format(folder=folder))
        nginx = await self.process(NGINX, '-p', folder, '-c', folder / 'nginx.conf', '-e', 'stderr')
        await listens(port, nginx)
        return port


# A load balancer for TCP that names its clients by the PROXY protocol.
BALANCER = '''
load_module {module};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
stream {{
    server {{
        listen 127.0.0.1:{port};
        proxy_pass 127.0.0.1:{place};
        proxy_protocol on;
    }}
}}
'''


class BehindALoadBalancer(SystemTest):
    async def balancer(self, place):
        """The port of a load balancer for TCP in front of the port `place`."""
        folder, port = self.folder(), free_port()
        (folder / 'nginx.conf').write_text(BALANCER.format(module=STREAM_MODULE, folder=folder, port=port, place=place))
        nginx = await self.process(NGINX, '-p', folder, '-c', folder / 'nginx.conf', '-e', 'stderr')
        await listens(port, nginx)
        return port

    async def test_clients_have_their_own_address(self):
        place = free_port()
        daemon = await self.wsd('--listen-proxy-protocol', f'127.0.0.1:{place}', '--trusted-proxy', '127.0.0.1')
        client = await self.connect(f'ws://127.0.0.1:{await self.balancer(place)}/')
        await client.send('through the balancer')
        self.assertEqual(await self.within(client.recv()), 'through the balancer')
        own = '{}:{}'.format(*client.local_address[:2])
        self.assertEqual([one['peer'] for one in await daemon.ctl_json('list')], [own])


if __name__ == '__main__':
    main()
