<?php
// usage: php spool.php SPOOL TEXT
// Sends TEXT to all connections of the wsd that serves SPOOL and prints how many there were.

function send_command(string $spool, string $words, string $payload): string
{
    // Commands run in the order of their names. Use a name once.
    $name = sprintf('%.6F-%d-%s', microtime(true), getmypid(), bin2hex(random_bytes(4)));
    // After the rename wsd executes it, even if it only starts later.
    if (file_put_contents("$spool/tmp/$name", "$words\n$payload") === false
        || !rename("$spool/tmp/$name", "$spool/new/$name")) {
        throw new RuntimeException("cannot write a command into $spool");
    }
    return $name;
}

// Leave this out if you don't need the result; a web page rarely does.
function wait_for_answer(string $spool, string $name, float $seconds = 10): string
{
    for ($end = microtime(true) + $seconds; microtime(true) < $end; usleep(5000)) {
        clearstatcache();
        if (file_exists("$spool/done/$name")) {
            return explode("\n", file_get_contents("$spool/done/$name"), 2)[1]; // after the line `ok`
        }
        if (file_exists("$spool/failed/$name")) {
            throw new RuntimeException(strtok(file_get_contents("$spool/failed/$name"), "\n"));
        }
    }
    throw new RuntimeException('no answer yet; the command stays in the spool');
}

[, $spool, $text] = $argv;
try {
    echo wait_for_answer($spool, send_command($spool, 'broadcast', $text));
} catch (RuntimeException $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
