#!/usr/bin/perl
# usage: spool.pl SPOOL TEXT
# Sends TEXT to all connections of the wsd that serves SPOOL and prints how many there were.
use strict;
use warnings;
use Time::HiRes qw(time sleep);

sub send_command {
    my ($spool, $words, $payload) = @_;
    # Commands run in the order of their names. Use a name once.
    my $name = sprintf '%.6f-%d-pl', time, $$;
    open my $file, '>:raw', "$spool/tmp/$name" or die "$spool/tmp/$name: $!\n";
    print {$file} "$words\n$payload" or die "$spool/tmp/$name: $!\n";
    close $file or die "$spool/tmp/$name: $!\n";
    # After the rename wsd executes it, even if it only starts later.
    rename "$spool/tmp/$name", "$spool/new/$name" or die "$spool/new/$name: $!\n";
    return $name;
}

# Leave this out if you don't need the result.
sub wait_for_answer {
    my ($spool, $name) = @_;
    for (my $end = time + 10; time < $end; sleep 0.005) {
        for my $folder ('done', 'failed') {
            open my $file, '<:raw', "$spool/$folder/$name" or next;
            my $first = <$file>;
            die $first if $folder eq 'failed';
            return join '', <$file>;
        }
    }
    die "no answer yet; the command stays in the spool\n";
}

my ($spool, $text) = @ARGV;
print wait_for_answer($spool, send_command($spool, 'broadcast', $text));
