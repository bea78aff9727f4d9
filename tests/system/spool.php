<?php
// usage: php spool.php SPOOL TEXT
// Sends TEXT to all connections of the wsd that has this spool, and prints how many these were.

function give_order(string $spool, string $words, string $payload): string
{
    // Orders are executed in the order of their names; a name is used once.
    $name = sprintf('%.6F-%d-%s', microtime(true), getmypid(), bin2hex(random_bytes(4)));
    if (file_put_contents("$spool/tmp/$name", "$words\n$payload") === false
        || !rename("$spool/tmp/$name", "$spool/new/$name")) { // from here on it is an order, though no wsd may run
        throw new RuntimeException("cannot give an order to $spool");
    }
    return $name;
}

// Who wants to know what became of it waits for the answer; a web page hardly does.
function wait_for_answer(string $spool, string $name, float $seconds = 10): string
{
    for ($end = microtime(true) + $seconds; microtime(true) < $end; usleep(5000)) {
        clearstatcache();
        if (file_exists("$spool/done/$name")) {
            return substr(file_get_contents("$spool/done/$name"), strlen("ok\n"));
        }
        if (file_exists("$spool/failed/$name")) {
            throw new RuntimeException(strtok(file_get_contents("$spool/failed/$name"), "\n"));
        }
    }
    throw new RuntimeException('no answer yet; the order stays');
}

[, $spool, $text] = $argv;
try {
    echo wait_for_answer($spool, give_order($spool, 'broadcast', $text));
} catch (RuntimeException $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
