"""wsd behind a real apache, configured by docs/apache.conf."""
import grp
import os
import pathlib
import pwd
import shutil

from harness import SystemTest, main, skip
from proxy import BehindAProxy, free_port, listens, pages, snippet

APACHE = (shutil.which('apache2', path='/usr/sbin:/usr/bin') or shutil.which('httpd', path='/usr/sbin:/usr/bin')
          or skip('apache is missing (Debian: apache2-bin)'))
MODULES = next((folder for folder in ['/usr/lib/apache2/modules', '/usr/lib64/httpd/modules']
                if pathlib.Path(folder).is_dir()), None) or skip('the folder of apache\'s modules is not found')

# Unprivileged, in one folder, one process (-X). The modules are those that a2enmod in docs/apache.conf enables, and
# those that every apache has.
MAIN = '''
ServerRoot {folder}
ServerName localhost
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
Listen 127.0.0.1:{port}
ErrorLog /dev/stderr
LogLevel warn
Timeout {timeout}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule dir_module {modules}/mod_dir.so
StartServers 1
Include {folder}/000-default.conf
Include {folder}/wsd.conf
'''
# As Debian's.
DEFAULT = '''
<VirtualHost 127.0.0.1:{port}>
    DocumentRoot {root}
</VirtualHost>
'''


class BehindApache(BehindAProxy, SystemTest):
    async def start_proxy(self, daemon, timeout):
        folder, port = self.folder(), free_port()
        folder.chmod(0o755)  # if root starts apache, its children run as another user
        site, default = pages(folder)
        (folder / '000-default.conf').write_text(DEFAULT.format(port=port, root=default))
        (folder / 'wsd.conf').write_text(snippet('apache.conf', {
            '127.0.0.1:8080': '{}:{}'.format(*daemon.address), '*:80>': f'127.0.0.1:{port}>',
            '/var/www/html': str(site)}))
        text = MAIN.format(folder=folder, port=port, timeout=timeout, modules=MODULES)
        if pathlib.Path(MODULES, 'mod_unixd.so').exists():  # outside Debian this is a separate module
            text = text.replace('StartServers', f'LoadModule unixd_module {MODULES}/mod_unixd.so\nStartServers')
        if os.geteuid() == 0:  # apache then requires another user
            text += 'User nobody\nGroup {}\n'.format(grp.getgrgid(pwd.getpwnam('nobody').pw_gid).gr_name)
        (folder / 'apache.conf').write_text(text)
        apache = await self.process(APACHE, '-f', folder / 'apache.conf', '-X')
        await listens(port, apache)
        return port


if __name__ == '__main__':
    main()
