"""The examples in the documentation work, and its links lead somewhere."""
import asyncio
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import unittest

import fastcgi
from harness import PATIENCE, ROOT, SystemTest, main, program

sys.path.insert(0, str(ROOT / 'tests' / 'lint'))
import floors  # noqa: E402, found only now

MANUALS = ROOT / 'docs' / 'man'

SPOOL = '/var/spool/wsd'  # in the scripts; replaced by the spool of the test
CRON = {'HOME': '/', 'LOGNAME': 'nobody', 'PATH': '/usr/bin:/bin', 'SHELL': '/bin/sh'}
PHP, PERL = shutil.which('php') or '/usr/bin/php', shutil.which('perl') or '/usr/bin/perl'
FPM = next((str(path) for path in sorted(pathlib.Path('/usr/sbin').glob('php-fpm*'))), None)
# As Debian has it: the pool's processes get none of php-fpm's environment.
FPM_POOL = '''
[global]
error_log = /dev/stderr
[www]
user = {user}
listen = {socket}
pm = static
pm.max_children = 1
clear_env = yes
'''


def documents():
    on_top = [ROOT / name for name in ('README.md', 'CHANGELOG.md', 'CONTRIBUTING.md')]
    return [*on_top, *sorted((ROOT / 'docs').glob('*.md'))]


def blocks(text, language):
    return re.findall(rf'^```{language}\n(.*?)^```$', text, re.S | re.M)


class Readme(SystemTest):
    readme = (ROOT / 'README.md').read_text()

    def test_its_code_is_that_of_the_examples(self):
        shown = blocks(self.readme, 'cpp')
        names = re.findall(r'\]\((examples/\w+\.cpp)\)', self.readme)
        wanted = [name for name in names if (ROOT / name).read_text() in shown]
        self.assertEqual(len(shown), 2, 'a server and a client')
        self.assertEqual(len(wanted), 2, f'the two blocks must be the very text of two of {names}')

    def test_its_examples_are_short(self):
        for code in blocks(self.readme, 'cpp'):
            lines = [line for line in code.splitlines() if line.strip() and not line.startswith(('//', '#include'))]
            self.assertLessEqual(len(lines), 15, code)

    def scripts(self, language):
        """The scripts that write into the spool."""
        found = [block for block in blocks(self.readme, language) if SPOOL in block]
        self.assertTrue(found, f'README.md has no script in {language} for {SPOOL}')
        return found

    async def daemon_and_client(self):
        daemon = await self.wsd('--demo')
        return daemon, await self.connect(daemon.url, subprotocols=['chat'])

    def file(self, name, text):
        path = self.folder() / name
        path.write_text(text)
        return path

    async def runs(self, command, environment):
        ended = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True,
                                        timeout=PATIENCE)
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, '', ''), command)

    async def all_arrive(self, client, text, count=1):
        for _ in range(count):
            self.assertEqual(await self.within(client.recv()), text)

    async def run_in_every_environment(self, script, text):
        """Runs script(daemon), a command, with a user's environment, with that of cron, and with none."""
        daemon, client = await self.daemon_and_client()
        for environment in (daemon.env, CRON, {}):
            with self.subTest(environment=sorted(environment)):
                await self.runs(script(daemon), environment)
                await self.all_arrive(client, text)

    async def test_wsd_ctl_sends(self):
        script, = [block for block in blocks(self.readme, 'sh') if block.startswith('wsd-ctl broadcast')]
        daemon, client = await self.daemon_and_client()
        folder = self.folder()
        (folder / 'wsd-ctl').symlink_to(program('WSD_CTL'))
        environment = {**daemon.env, 'WSD_SPOOL': str(daemon.spool), 'PATH': f'{folder}:{os.environ["PATH"]}'}
        ended = await asyncio.to_thread(subprocess.run, ['sh', '-eu', '-c', script], env=environment,
                                        capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((ended.returncode, ended.stderr), (0, ''), ended.stdout)
        await self.all_arrive(client, 'hello from the shell')

    async def test_the_shell_sends(self):
        script, = self.scripts('sh')
        await self.run_in_every_environment(
            lambda daemon: ['/bin/sh', '-eu', '-c', script.replace(SPOOL, str(daemon.spool))], 'hello from the shell')

    async def test_php_sends(self):
        script, = self.scripts('php')
        await self.run_in_every_environment(
            lambda daemon: [PHP, self.file('send.php', script.replace(SPOOL, str(daemon.spool)))], 'hello from PHP')

    async def test_perl_sends(self):
        script, = self.scripts('perl')
        await self.run_in_every_environment(
            lambda daemon: [PERL, '-w', self.file('send.pl', script.replace(SPOOL, str(daemon.spool)))],
            'hello from Perl')

    async def test_a_loop_loses_no_command(self):
        """50 commands within a second or less."""
        daemon, client = await self.daemon_and_client()
        shell, php, perl = (self.scripts(name)[0].replace(SPOOL, str(daemon.spool)) for name in ('sh', 'php', 'perl'))
        php = php.removeprefix('<?php')
        loops = {'hello from the shell': ['/bin/sh', '-eu', '-c', f'for i in $(seq 50); do {shell} done'],
                 'hello from PHP': [PHP, self.file('loop.php', f'<?php for ($i = 0; $i < 50; ++$i) {{ {php} }}')],
                 'hello from Perl': [PERL, '-w', self.file('loop.pl', f'for (1 .. 50) {{ {perl} }}')]}
        for text, command in loops.items():
            with self.subTest(text):
                await self.runs(command, CRON)
                await self.all_arrive(client, text, 50)

    @unittest.skipUnless(FPM, 'php-fpm is missing (Debian: php-fpm)')
    async def test_a_page_under_php_fpm_sends(self):
        daemon, client = await self.daemon_and_client()
        page = self.file('send.php', self.scripts('php')[0].replace(SPOOL, str(daemon.spool)))
        socket = page.with_name('fpm.sock')
        pool = self.file('pool.conf', FPM_POOL.format(socket=socket, user=pwd.getpwuid(os.geteuid()).pw_name))
        root = ['--allow-to-run-as-root'] if os.geteuid() == 0 else []
        fpm = await self.process(FPM, '--nodaemonize', *root, '--fpm-config', pool)
        await fpm.line('ready to handle connections')
        answer = await self.within(fastcgi.request(socket, page))
        self.assertEqual(answer.errors, '')
        self.assertTrue(answer.output.endswith('\r\n\r\n'), answer.output)
        await self.all_arrive(client, 'hello from PHP')

    def test_links_lead_somewhere(self):
        for document in documents():
            text = re.sub(r'^```.*?^```$', '', document.read_text(), flags=re.S | re.M)
            for target in re.findall(r'\]\(([^)#\s]+)(?:#[^)]*)?\)', text):
                if not re.match(r'https?:', target):
                    with self.subTest(f'{document.relative_to(ROOT)} -> {target}'):
                        self.assertTrue((document.parent / target).exists())

    def test_tests_that_the_documents_name_exist(self):
        for document in documents():
            for path in re.findall(r'`(tests/[\w./]+)`', document.read_text()):
                with self.subTest(f'{document.name}: {path}'):
                    self.assertTrue((ROOT / path).exists())

    def test_the_architecture_names_every_header_in_the_row_of_its_floor(self):
        text = (ROOT / 'docs' / 'architecture.md').read_text()
        rows = dict(re.findall(r'^\| ([\w-]+) \| (.*?) \|', text, re.M))
        include = ROOT / 'include' / 'wsserver'
        for header in sorted([*include.glob('*.h*'), *include.glob('*/*.hpp')]):
            place = header.relative_to(include)
            if place.name.endswith('src.hpp') and len(place.parts) > 1:
                continue  # each floor has one; the page explains them together
            floor = floors.floor_of(f'include/wsserver/{place}')
            with self.subTest(str(place)):
                self.assertRegex(rows.get(floor, ''), rf'`{re.escape(place.stem)}(\{place.suffix})?`', f'floor {floor}')

    def test_the_architecture_has_a_row_for_every_floor(self):
        text = (ROOT / 'docs' / 'architecture.md').read_text()
        named = set(re.findall(r'^\| ([\w-]+) \| `', text, re.M))
        folders = {folder.name for folder in (ROOT / 'include' / 'wsserver').iterdir() if folder.is_dir()}
        self.assertEqual(folders - named, set())

    def test_the_documents_name_the_floors_in_their_order(self):
        wanted = [*map(sorted, floors.ORDER[:floors.ORDER.index(['front'])]), ['apps']]
        for name in ('docs/architecture.md', 'CONTRIBUTING.md'):
            line, = re.findall(r'^    (base < .*)$', (ROOT / name).read_text(), re.M)
            with self.subTest(name):
                self.assertEqual([sorted(level.split(', ')) for level in line.split(' < ')], wanted)


class Manuals(unittest.TestCase):
    @staticmethod
    def output(variable, *words):
        return subprocess.run([program(variable), *words], capture_output=True, text=True, timeout=PATIENCE).stdout

    @staticmethod
    def flags_of_manual(name):
        """--names at the beginning of an entry."""
        return set(re.findall(r'^\.It (?:Fl \w , )?Fl Fl ([\w-]+)', (MANUALS / name).read_text(), re.M))

    def test_wsd_1_has_all_flags_and_no_others(self):
        flags = set(re.findall(r'^  --([\w-]+)', self.output('WSD', '--help'), re.M))
        self.assertEqual(self.flags_of_manual('wsd.1'), flags)

    def test_the_variables_of_wsd_1_are_those_of_its_flags(self):
        flags = re.findall(r'^  --([\w-]+)', self.output('WSD', '--help'), re.M)
        named = set(re.findall(r'\bWSD_\w+', (MANUALS / 'wsd.1').read_text()))
        self.assertIn('WSD_LISTEN', named)
        self.assertEqual(named - {'WSD_' + flag.upper().replace('-', '_') for flag in flags}, set())

    def test_wsd_toml_5_has_all_keys_and_no_others(self):
        keys, table = set(), ''
        for line in self.output('WSD', '--config', '/dev/null', '--print-config').splitlines():
            if match := re.match(r'\[(\w+)\]', line):
                table = match[1] + '.'
            elif match := re.match(r'(\w+) *=', line):
                keys.add(table + match[1])
        described, table = set(), ''
        for line in (MANUALS / 'wsd.toml.5').read_text().splitlines():
            if match := re.match(r'\.Ss Table (\w+)', line):
                table = match[1] + '.'
            elif match := re.match(r'\.It Ic (\w+)', line):
                described.add(table + match[1])
        self.assertEqual({key for key in keys if not key.startswith('handler')} | {'handler_dir', 'handler_deadline'},
                         described)

    def test_wsd_ctl_1_has_all_commands_and_flags(self):
        text = (MANUALS / 'wsd-ctl.1').read_text()
        commands = set(re.findall(r'^  ([a-z-]+(?: (?:list|load|reload|unload))?)', self.output('WSD_CTL', 'help'), re.M))
        self.assertIn('broadcast', commands)
        described = {' '.join(match.split()) for match in re.findall(r'^\.It (?:Ic|Cm) ([a-z-]+(?: [a-z]+)?)', text, re.M)}
        self.assertEqual(commands - described, set())

    @unittest.skipUnless(shutil.which('mandoc'), 'mandoc is missing')
    def test_they_are_well_formed(self):
        for manual in sorted(MANUALS.iterdir()):
            linted = subprocess.run(['mandoc', '-Tlint', '-Wwarning', manual], capture_output=True, text=True,
                                    timeout=PATIENCE)
            self.assertEqual(linted.stdout, '', manual.name)


if __name__ == '__main__':
    main()
