"""wsd behind a real nginx, configured by docs/nginx.conf."""
import shutil

from harness import SystemTest, main, skip
from proxy import BehindAProxy, free_port, pages, snippet

NGINX = shutil.which('nginx', path='/usr/sbin:/usr/bin:/usr/local/sbin') or skip('nginx is missing (Debian: nginx)')

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
        await self.ready(port, nginx)
        return port


if __name__ == '__main__':
    main()
